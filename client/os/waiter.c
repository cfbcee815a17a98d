#include "client/os/waiter.h"

#include <time.h>

int waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){.done = false};
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error)
        return -error;
    /* The wall clock can be set, and would stretch the wait. */
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!error)
        error = pthread_cond_init(&waiter->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    return -error;
}

void waiter_deinit(struct waiter *waiter)
{
    pthread_cond_destroy(&waiter->answered);
}

void waiter_answer(struct waiter *waiter, int64_t result, int32_t os_error)
{
    waiter->os_error = os_error;
    waiter->result = result;
    waiter->done = true;
    pthread_cond_signal(&waiter->answered);
}

bool waiter_wait(struct waiter *waiter, pthread_mutex_t *mutex, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    int error = 0;
    while (!waiter->done && !error)
        error = pthread_cond_timedwait(&waiter->answered, mutex, &until);
    return waiter->done;
}
