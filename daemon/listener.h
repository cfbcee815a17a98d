/*
 * A listening TCP socket of a session, and the ACCEPT requests that wait on it.
 *
 * A connection is taken from the kernel only when a request waits for it, a descriptor is left in the process and a
 * handle in the session. A listener that lacks one of the latter is starved: it stays in the worker's list, without a
 * system call, until something is closed. So is one that shares its queue (daemon/accept_queue.h) while it is others'
 * turn to get a connection.
 */
#ifndef OCHE_DAEMON_LISTENER_H
#define OCHE_DAEMON_LISTENER_H

#include "daemon/accept_queue.h"
#include "daemon/engine.h"
#include "daemon/list.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

struct listener {
    struct session *session;
    struct engine_socket *socket;
    struct accept_member member; /* of its queue */
    struct list starved_node;    /* in worker->starved */
    int64_t handle;
    bool accepting;        /* the engine waits for a connection, and a descriptor is taken for it */
    bool closing;          /* its close is postponed, see listener_postpone_close() */
    bool closed;           /* freed at the end of the turn */
    int64_t close_request; /* the LISTENER_CLOSE that is postponed */

    int64_t *accepts; /* a ring of request ids */
    uint32_t accepts_size;
    uint32_t accepts_first;
    uint32_t accepts_count;
};

/* Listens, and answers the request. 0, or a negative code with *os_error, and nothing is answered. */
int listener_listen(struct session *session, int64_t request_id, const struct listener_target *target, int *os_error);

/* Listens on with a descriptor and a handle from before. Takes over `fd`. False: a limit, the policy or memory is in
 * the way, and the descriptor stays the caller's. */
bool listener_restore(struct session *session, int64_t handle, int fd);

/* 0, or a negative code, and nothing is answered. */
int listener_accept(struct listener *listener, int64_t request_id);

/* For the worker: what the listener lacked may be there. */
void listener_retry(struct listener *listener);

/* Pending accepts end with CLOSED, and then a close that was postponed with 0. The object lives to the end of the turn.
 */
void listener_close(struct listener *listener);

/* Like listener_close(), but the session is ending: nothing is answered. */
void listener_abandon(struct listener *listener);

/* The same for a listener that a successor has. */
void listener_hand_over(struct listener *listener);

/* A listener that is being offered to a successor cannot be closed when others share its socket: the successor would
 * not learn of it. True: so it is. Pending accepts have ended with CLOSED, and the LISTENER_CLOSE is not answered until
 * listener_close() or, when the successor has the listener, not at all: the client asks the successor then. */
bool listener_postpone_close(struct listener *listener, int64_t request_id);

#endif
