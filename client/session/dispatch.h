/*
 * One turn of a session: takes what the daemon has sent, does what is due, and hands on what has completed. One thread
 * at a time dispatches a session; the mutex is taken here, and let go of between rounds.
 *
 * All that has come is taken before the time is looked at, so a daemon that has said something is never taken for one
 * that is silent.
 */
#ifndef OCHE_CLIENT_SESSION_DISPATCH_H
#define OCHE_CLIENT_SESSION_DISPATCH_H

#include <oche/oche.h>
#include <stdbool.h>
#include <stddef.h>

/* See oche_session_dispatch(). */
int64_t dispatch_run(struct oche_session *session);

/* The same in two steps, for the poster, who does the waiting himself: `ready` is from lane_wait(), or 0 if there was
 * no need to wait. */
int64_t dispatch_ready(struct oche_session *session, unsigned ready);

/* And then: takes up to `count` completions, and returns how many. If that was all, *settled says whether to wait with
 * lane_wait(): whatever comes from then on is heard there. In one step, so that the poster, who wakes the isolate with
 * these, need not contend with it for the mutex afterwards. */
size_t dispatch_take(struct oche_session *session, struct oche_completion *completions, size_t count, bool *settled);

/* See oche_session_pop(). */
bool dispatch_pop(struct oche_session *session, struct oche_completion *completion);

#endif
