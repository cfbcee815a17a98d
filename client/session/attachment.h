/*
 * The daemon of a session: found, lost, found again, and followed to its successor.
 *
 * What the session awaits meanwhile is its state (session.h):
 *
 *    LOST ── begin, renew ──► OPEN ◄── a successor takes it ── FOLLOWING
 *      ▲                       │ │                              ▲   │
 *      └─── lose, nothing ─────┘ └── follow, when it hands over ┘   │
 *      ▲    durable is left                                         │
 *      └── the successor does not have the session ─────────────────┘
 *
 * A session that is lost while durable listeners have something pending, or for which a request is made that may wait,
 * is AWAITED instead of LOST: somebody is asked for a renew, and requests are queued for the daemon that it finds.
 *
 * Only the lane is in use while this looks for a daemon: it happens without the mutex and may take seconds. Limits of
 * requests go on meanwhile, as a duty of the deadline (deadline.h).
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
