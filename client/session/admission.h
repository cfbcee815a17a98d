/*
 * Whether a request may be made: what the state of the session says, and which socket a handle names.
 *
 * A session that is lost refuses what needs a daemon, but for two cases: with a bell (session.h), requests that make a
 * socket wait for the next daemon, and durable listeners take accepts and closes at any time.
 *
 * All functions are called with the session's mutex held.
 */
#ifndef OCHE_CLIENT_SESSION_ADMISSION_H
#define OCHE_CLIENT_SESSION_ADMISSION_H

#include <stdint.h>

struct handle_entry;
struct oche_session;

/* 0 if the session takes requests, or a code. */
int64_t admission_check(const struct oche_session *session);

/* 0 if the session takes requests that make a new socket, or a code. */
int64_t admission_check_or_wait(const struct oche_session *session);

/* NULL: the handle names no such socket. */
struct handle_entry *admission_find_connection(const struct oche_session *session, int64_t handle);
/* A connection or a datagram socket. */
struct handle_entry *admission_find_readable(const struct oche_session *session, int64_t handle);
/* Everything but a listener, which has a close of its own. */
struct handle_entry *admission_find_closable(const struct oche_session *session, int64_t handle);

/* 0 and *entry, if the listener takes requests; or a code. */
int64_t admission_find_listener(const struct oche_session *session, int64_t handle, struct handle_entry **entry);

#endif
