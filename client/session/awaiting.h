/*
 * Waiting for the answer to a request, for five seconds at most.
 */
#ifndef OCHE_CLIENT_SESSION_AWAITING_H
#define OCHE_CLIENT_SESSION_AWAITING_H

#include <stdint.h>

struct oche_session;
struct waiter;

/* `status`: of the request that has been made for the waiter, or not; which is deinitialized. Returns that, or the
 * result of the request with *os_error, or OCHE_ERR_TIMED_OUT. Lets go of the session's mutex meanwhile. */
int64_t awaiting_answer(struct oche_session *session, int64_t status, struct waiter *waiter, int32_t *os_error);

#endif
