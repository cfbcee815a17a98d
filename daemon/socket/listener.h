/*
 * A listening TCP socket of a session, and the ACCEPT requests that wait on it.
 *
 * With TLS a request gets a connection whose handshake is done. Many handshakes are under way at a time, so that a peer
 * that takes long, or never ends, holds up nobody.
 *
 * A connection is taken from the kernel only when a request waits for it, a descriptor is left in the process and a
 * handle in the session. A listener that lacks one of the latter is starved: it stays in the worker's list, without a
 * system call, until something is closed. So is one that shares its queue (daemon/socket/accept_queue.h) while it is
 * others' turn to get a connection.
 */
#ifndef OCHE_DAEMON_SOCKET_LISTENER_H
#define OCHE_DAEMON_SOCKET_LISTENER_H

#include "daemon/engine/engine.h"
#include "daemon/engine/list.h"
#include "daemon/session/request.h"
#include "daemon/session/socket.h"
#include "daemon/session/starvation.h"
#include "daemon/socket/accept_queue.h"

#include <stdbool.h>
#include <stdint.h>

struct listener {
    struct socket socket;
    struct accept_member member; /* of its queue */
    struct starved starved;
    bool accepting;        /* the engine waits for a connection, and a descriptor is taken for it */
    bool closed;           /* freed at the end of the turn */
    struct request closes; /* the LISTENER_CLOSE that is postponed, while it is held */

    struct list accepts; /* requests that wait for a connection, in their order */
    uint32_t accepts_count;

    struct tls_context *tls;  /* NULL: no TLS */
    struct list handshakes;   /* connections that are under way */
    struct list ready;        /* connections that came when no request waited any more */
    uint32_t unclaimed_count; /* of both */
};

extern const struct socket_kind listener_kind;

/* Listens, and completes the request. 0, or a negative code with *os_error, and nothing is completed. */
int listener_listen(struct request *request, const struct listener_target *target, int *os_error);

/* Listens on with a descriptor and a handle from before. Takes over `fd`. False: a limit, the policy or memory is in
 * the way, and the descriptor stays the caller's. */
bool listener_restore(struct session *session, int64_t handle, int fd);

#endif
