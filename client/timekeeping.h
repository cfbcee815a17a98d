/*
 * What a session does because of the time: requests whose limit is over complete with OCHE_ERR_TIMED_OUT, and a daemon
 * that owes answers is asked whether it is still there (heartbeat.h).
 *
 * Both happen here and not in the daemon, which may be stopped. The session's alarm makes its epoll descriptor readable
 * when something is due; whoever dispatches the session, or opens it, then calls timekeeping_run().
 *
 * A connect whose limit is over has completed for the application, but not for the daemon: it stays pending, unheard
 * and cancelled, until the daemon answers. If that answer is a connection, replies.c closes it.
 *
 * All functions are called with the session's mutex held.
 */
#ifndef OCHE_CLIENT_TIMEKEEPING_H
#define OCHE_CLIENT_TIMEKEEPING_H

#include "client/alarm.h"
#include "client/heartbeat.h"

struct oche_session;
struct pending_request;

struct timekeeping {
    struct alarm alarm;
    struct heartbeat heartbeat;
    unsigned limits;  /* pending requests with a limit that is not over */
    int64_t limit_at; /* when the first of these may be over, as deadline_now(); 0: there are none */
};

/* Returns 0 or a negative errno. */
int timekeeping_init(struct timekeeping *time, int epoll_fd);

/* Idempotent. */
void timekeeping_deinit(struct timekeeping *time);

/* The session has a daemon from now on, which may know PING; and it has none any more. */
void timekeeping_begin(struct oche_session *session, bool answers_ping);
void timekeeping_end(struct oche_session *session);

/* The daemon owes one answer more. */
void timekeeping_owe(struct oche_session *session);

/* The request has so many milliseconds from now on; 0: as many as it takes. */
void timekeeping_limit(struct oche_session *session, struct pending_request *request, uint32_t milliseconds);

/* The request is over, and its limit does not matter any more. It may have none. */
void timekeeping_unlimit(struct oche_session *session, struct pending_request *request);

/* Does what is due at `now`. True: the daemon does not answer any more, and the session is to be lost. */
bool timekeeping_run(struct oche_session *session, int64_t now);

#endif
