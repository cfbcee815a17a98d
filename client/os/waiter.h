/*
 * A caller that waits for one answer, in a synchronous call, while another thread dispatches.
 *
 * Lives on the stack of who waits. All functions are called with the session's mutex held; waiting
 * lets go of it.
 */
#ifndef OCHE_CLIENT_OS_WAITER_H
#define OCHE_CLIENT_OS_WAITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct waiter {
    pthread_cond_t answered;
    bool done;
    int32_t os_error;
    int64_t result;
};

/* Returns 0 or a negative errno. */
int waiter_init(struct waiter *waiter);
void waiter_deinit(struct waiter *waiter);

void waiter_answer(struct waiter *waiter, int64_t result, int32_t os_error);

/* True: the answer is in waiter->result and waiter->os_error. False: it has not come within `seconds`. */
bool waiter_wait(struct waiter *waiter, pthread_mutex_t *mutex, int seconds);

#endif
