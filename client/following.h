/*
 * Following a daemon that has handed over, see proto/handover.h: what a session takes along to the successor, and what
 * ends.
 *
 * Listeners go along, with their handles, and so do the requests to accept from them and to close them, and those for
 * new sockets: what the old daemon has not answered it has not done, or, a connect, has given up. Connections stay
 * behind. All other requests end with OCHE_ERR_DAEMON_LOST.
 */
#ifndef OCHE_CLIENT_FOLLOWING_H
#define OCHE_CLIENT_FOLLOWING_H

#include <stdbool.h>
#include <stdint.h>

struct oche_session;
struct pending_request;

/* Of a session whose lane is detached: ends what ends, and queues the rest for the successor. *wanted: there is a
 * listener that must be there. False: no memory, and the session has to be lost. The mutex is held. */
bool following_prepare(struct oche_session *session, bool *wanted);

/* The successor does not have that listener, a handle of the wire: what is pending on it is going to end with
 * OCHE_ERR_DAEMON_LOST, when the successor has refused it. The mutex is held. */
void following_lose(struct oche_session *session, int64_t handle);

/* For durable.h, too: whether a request goes along to another daemon. */
typedef bool following_rule(const struct oche_session *session, const struct pending_request *request);

/* Ends the requests that do not go along with `code`. The mutex is held. */
void following_end_others(struct oche_session *session, following_rule *goes_along, int64_t code);

/* Queues what is pending on that handle of the wire, or, with 0, everything. False: no memory. The mutex is held. */
bool following_queue(struct oche_session *session, int64_t wire);

#endif
