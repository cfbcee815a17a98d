#include "client/os/deadline.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int64_t deadline_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct deadline deadline_in(int64_t milliseconds, int cancel_fd)
{
    return (struct deadline){.at = deadline_now() + milliseconds, .cancel_fd = cancel_fd};
}

bool deadline_is_over(const struct deadline *deadline)
{
    return deadline_now() >= deadline->at;
}

int deadline_poll(const struct deadline *deadline, struct pollfd *polled, unsigned count)
{
    struct pollfd all[DEADLINE_POLL_MAX + 2];
    const struct deadline_duty *duty = deadline->duty;
    struct pollfd *cancel = &all[count], *due = &all[count + 1];
    for (unsigned i = 0; i < count; i++)
        all[i] = polled[i];
    *cancel = (struct pollfd){.fd = deadline->cancel_fd, .events = POLLIN};
    *due = (struct pollfd){.fd = duty ? duty->fd : -1, .events = POLLIN};

    for (;;) {
        int64_t left = deadline->at - deadline_now();
        if (left <= 0)
            return -ETIMEDOUT;
        int ready = poll(all, count + 2, (int)left);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (cancel->revents)
            return -ECANCELED;
        if (duty && due->revents) {
            duty->run(duty->context);
            if (ready == 1)
                continue;
        }
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
    struct deadline pause = *deadline;
    pause.at = deadline_now() + milliseconds;
    if (pause.at > deadline->at)
        return -ETIMEDOUT;
    int status = deadline_poll(&pause, NULL, 0);
    return status == -ETIMEDOUT ? 0 : status;
}
