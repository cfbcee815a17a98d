/*
 * The alarm of a session: makes its epoll descriptor readable at a time that was set, for whoever waits there.
 *
 * A timer of the system (timerfd), so that it works for a thread of ours and for an application that waits on the
 * descriptor by itself. While nothing is set it wakes nobody.
 */
#ifndef OCHE_CLIENT_OS_ALARM_H
#define OCHE_CLIENT_OS_ALARM_H

#include <stdbool.h>
#include <stdint.h>

struct alarm {
    int fd;     /* -1: not in use */
    int64_t at; /* as deadline_now(); 0: not set */
};

/* Adds the alarm to the epoll set, with this number as its event data. Returns 0 or a negative errno. */
int alarm_init(struct alarm *alarm, int epoll_fd, unsigned number);

/* Idempotent. */
void alarm_deinit(struct alarm *alarm);

/* Goes off at that time, in the place of the one that was set before, if any; 0: not at all. An alarm that has gone off
 * stays readable until it is set anew. */
void alarm_set(struct alarm *alarm, int64_t at);

#endif
