/*
 * What a session takes along to another daemon, and what ends.
 *
 * There are two ways there. A daemon that has handed over has a successor (proto/handover.h): all listeners go along
 * with their handles, and so do the requests to accept from them and to close them, and those for new sockets: what the
 * old daemon has not answered it has not done, or, a connect, has given up. Connections stay behind.
 *
 * A daemon that is lost leaves nothing but the durable listeners (durable.h) and the requests to accept from them. The
 * first thing that the session asks of the next daemon is to listen again, with the options and at the port that they
 * had; the accepts are sent when that is answered. If a listener cannot be opened again, what waits on it ends with the
 * reason.
 *
 * All other requests end.
 *
 * The mutex of the session is held for all of these functions.
 */
#ifndef OCHE_CLIENT_SESSION_FOLLOWING_H
#define OCHE_CLIENT_SESSION_FOLLOWING_H

#include <stdbool.h>
#include <stdint.h>

struct durable_listener;
struct oche_session;
struct pending_request;

/* Of a session whose lane is detached: ends what ends, and queues the rest for the successor. *wanted: there is a
 * listener that must be there. False: no memory, and the session has to be lost. */
bool following_prepare_for_successor(struct oche_session *session, bool *wanted);

/* The same for a daemon that is still to be found: ends with `code` what ends. False: there is nothing durable, or no
 * memory, and the session has to be lost. */
bool following_prepare_for_new(struct oche_session *session, int64_t code);

/* The successor does not have that listener, a handle of the wire: what is pending on it is going to end with
 * OCHE_ERR_DAEMON_LOST, when the successor has refused it. */
void following_lose(struct oche_session *session, int64_t wire);

/* The daemon has refused the request with that code. True: it is an accept on a durable listener, and the daemon
 * leaves: a daemon closes its listeners first then, and takes no accepts any more. The request waits for the next one.
 */
bool following_keeps(const struct oche_session *session, struct pending_request *request, int64_t code);

/* The LISTEN that opens a durable listener again has succeeded: sends what waits for it. False: no memory. */
bool following_reopened(struct oche_session *session, int64_t handle, int64_t wire);

/* It has failed: what is pending on the listener ends with the code and errno, and the listener is no more. It may have
 * been closed meanwhile. */
void following_fail(struct oche_session *session, int64_t handle, int64_t code, int os_error);

/* Closes a durable listener that is not open at the daemon, or not yet: the request completes at once, and when the
 * listener has been opened it is closed there, too. 0 or OCHE_ERR_OUT_OF_MEMORY. */
int64_t following_close_here(struct oche_session *session, int64_t request_id, const struct durable_listener *listener);

#endif
