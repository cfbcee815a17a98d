/*
 * What a session does because of the time: requests whose limit is over complete with OCHE_ERR_TIMED_OUT, and a daemon
 * that owes answers is asked whether it is still there (heartbeat.h).
 *
 * Both happen here and not in the daemon, which may be stopped. The session's alarm makes its epoll descriptor readable
 * when something is due (schedule.h); whoever dispatches the session, or looks for a daemon for it, then calls
 * timekeeping_run().
 */
#ifndef OCHE_CLIENT_SESSION_TIMEKEEPING_H
#define OCHE_CLIENT_SESSION_TIMEKEEPING_H

#include <stdbool.h>
#include <stdint.h>

struct oche_session;

/* Does what is due at `now`. True: the daemon does not answer any more, and the session is to be lost. The session's
 * mutex is held. */
bool timekeeping_run(struct oche_session *session, int64_t now);

#endif
