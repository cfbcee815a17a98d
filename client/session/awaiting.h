/*
 * Waiting for the answer to a request, for five seconds at most.
 */
#ifndef OCHE_CLIENT_SESSION_AWAITING_H
#define OCHE_CLIENT_SESSION_AWAITING_H

#include <stdint.h>

struct oche_session;
struct waiter;

/* Waits for the answer to the request that refers to `waiter`, and deinitializes the waiter. Returns the result of the
 * request, with *os_error, or OCHE_ERR_TIMED_OUT. A negative `status` says that the request could not be made: then
 * nobody waits, and that is returned. The session's mutex is held, and let go of while waiting. */
int64_t awaiting_answer(struct oche_session *session, int64_t status, struct waiter *waiter, int32_t *os_error);

#endif
