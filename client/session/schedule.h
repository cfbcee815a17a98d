/*
 * When a session next has something to do because of the time: the first limit of a request, and the next tick of the
 * heartbeat. The alarm is set for whichever comes first. What is done then is in timekeeping.h.
 *
 * All functions are called with the session's mutex held.
 */
#ifndef OCHE_CLIENT_SESSION_SCHEDULE_H
#define OCHE_CLIENT_SESSION_SCHEDULE_H

#include "client/os/alarm.h"
#include "client/session/heartbeat.h"

struct schedule {
    struct alarm alarm;
    struct heartbeat heartbeat;
    unsigned limits;  /* pending requests with a limit that is not over */
    int64_t limit_at; /* when the first of these may be over, as deadline_now(); 0: there are none */
};

/* Adds the alarm to the epoll set, with this number. Returns 0 or a negative errno. */
int schedule_init(struct schedule *schedule, int epoll_fd, unsigned number);

/* Idempotent. */
void schedule_deinit(struct schedule *schedule);

/* There is a daemon from now on, which may know PING, and may owe answers already; and there is none any more. */
void schedule_begin(struct schedule *schedule, bool owed);
void schedule_end(struct schedule *schedule);

/* The daemon owes one answer more. */
void schedule_owe(struct schedule *schedule);

/* A request more has a limit; and a request has none any more. */
void schedule_limit(struct schedule *schedule, int64_t at);
void schedule_unlimit(struct schedule *schedule);

/* Sets the alarm after what was due was done. */
void schedule_set_alarm(struct schedule *schedule);

#endif
