/*
 * The daemon of a session: found, lost, found again, and followed to its successor.
 *
 * These are the ways from one state of a session to another:
 *
 *    LOST, AWAITED     to OPEN        begin, renew: a daemon is found
 *    OPEN              to FOLLOWING   follow: the daemon has handed over
 *    FOLLOWING         to OPEN        the successor has what the session needs there
 *    OPEN, FOLLOWING   to LOST        the daemon is gone, or the successor lacks the session; nothing is durable
 *    OPEN, FOLLOWING   to AWAITED     the same, but durable listeners and what is pending on them wait for another
 *    LOST              to AWAITED     a request is made that may wait for a daemon (session_await)
 *    any               to CLOSED      lifecycle.h
 */
#ifndef OCHE_CLIENT_SESSION_ATTACHMENT_H
#define OCHE_CLIENT_SESSION_ATTACHMENT_H

#include <stdint.h>

struct oche_session;

/* Finds or starts a daemon for a session that is prepared. Blocks. */
int64_t attachment_begin(struct oche_session *session);

/* See oche_session_reopen(). Ends early, with OCHE_ERR_CLOSED, when the session's bell is rung. If it fails, the
 * requests that awaited it complete with its result, but for what is pending on durable listeners: that goes on
 * awaiting another attempt, for which the bell rings, until it is time to give up. Blocks. */
int64_t attachment_renew(struct oche_session *session);

/* The daemon has handed over, and hears nothing any more: goes on with its successor. OCHE_ERR_DAEMON_LOST: that was
 * not possible, and the session is lost. Blocks. */
int64_t attachment_follow(struct oche_session *session);

/* The daemon is gone, does not answer or sends nonsense. What is pending ends with OCHE_ERR_DAEMON_LOST, but for what
 * is durable. The mutex is held. */
void attachment_lose(struct oche_session *session);

#endif
