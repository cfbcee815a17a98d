/*
 * Bounded waiting. Whatever blocks in this library does so through a deadline, which also ends when
 * a descriptor becomes readable: that is how tcp_destroy() interrupts a poster that is starting a
 * daemon. Something else may have to be done meanwhile, its duty: that is how a request with a limit
 * completes in time although the poster is starting a daemon.
 */
#ifndef OCHE_CLIENT_OS_DEADLINE_H
#define OCHE_CLIENT_OS_DEADLINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* Milliseconds on CLOCK_MONOTONIC. */
int64_t deadline_now(void);

/* Called whenever the descriptor, which is not owned, is readable; has to make it unreadable. */
struct deadline_duty {
    int fd;
    void (*run)(void *context);
    void *context;
};

struct deadline {
    int64_t at;                       /* as deadline_now() */
    int cancel_fd;                    /* -1: cannot be cancelled; not owned */
    const struct deadline_duty *duty; /* NULL: none */
};

enum { DEADLINE_POLL_MAX = 3 };

struct deadline deadline_in(int64_t milliseconds, int cancel_fd);

bool deadline_is_over(const struct deadline *deadline);

/* Waits until one of `count` descriptors, at most DEADLINE_POLL_MAX, has events, which are in
 * `polled` then. Returns 0, -ETIMEDOUT, -ECANCELED, or another negative errno. */
int deadline_poll(const struct deadline *deadline, struct pollfd *polled, unsigned count);

/* Waits for `events` of one descriptor; returns as deadline_poll(). */
int deadline_wait(const struct deadline *deadline, int fd, short events);

/* Lets some time pass. Returns 0, -ETIMEDOUT or -ECANCELED. */
int deadline_pause(const struct deadline *deadline, int64_t milliseconds);

#endif
