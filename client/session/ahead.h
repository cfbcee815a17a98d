/*
 * What has come from a connection ahead of the application's reads, taken together.
 *
 * A read that completes is posted with what had come by then. By the time the isolate gets to the message there may be
 * more, and it takes that as well: so it sees what a system call would have given it.
 *
 * The session's mutex is held. Results are 0 or more, or a negative OCHE_ERR_ code.
 */
#ifndef OCHE_CLIENT_SESSION_AHEAD_H
#define OCHE_CLIENT_SESSION_AHEAD_H

#include <stdint.h>

struct oche_session;

/* How many bytes ahead_take() would copy. If nothing is ahead, the daemon may receive more, as with a read. */
int64_t ahead_count(struct oche_session *session, int64_t handle, uint64_t count);

/* Copies whole pieces of what has come and no read has brought yet to `into`, as far as `count` bytes go, and lets the
 * daemon receive as much again. Returns how many bytes were copied. */
int64_t ahead_take(struct oche_session *session, int64_t handle, uint8_t *into, uint64_t count);

#endif
