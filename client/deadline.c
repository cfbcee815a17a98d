#include "client/deadline.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct deadline deadline_in(int64_t milliseconds, int cancel_fd)
{
    return (struct deadline){.at_ms = now_ms() + milliseconds, .cancel_fd = cancel_fd};
}

bool deadline_is_over(const struct deadline *deadline)
{
    return now_ms() >= deadline->at_ms;
}

int deadline_poll(const struct deadline *deadline, struct pollfd *polled, unsigned count)
{
    struct pollfd all[DEADLINE_POLL_MAX + 1];
    for (unsigned i = 0; i < count; i++)
        all[i] = polled[i];
    all[count] = (struct pollfd){.fd = deadline->cancel_fd, .events = POLLIN};

    for (;;) {
        int64_t left = deadline->at_ms - now_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        int ready = poll(all, count + 1, (int)left);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (all[count].revents)
            return -ECANCELED;
        for (unsigned i = 0; i < count; i++)
            polled[i].revents = all[i].revents;
        return 0;
    }
}

int deadline_wait(const struct deadline *deadline, int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};
    return deadline_poll(deadline, &polled, 1);
}

int deadline_pause(const struct deadline *deadline, int64_t milliseconds)
{
    struct deadline pause = deadline_in(milliseconds, deadline->cancel_fd);
    if (pause.at_ms > deadline->at_ms)
        return -ETIMEDOUT;
    int status = deadline_poll(&pause, NULL, 0);
    return status == -ETIMEDOUT ? 0 : status;
}
