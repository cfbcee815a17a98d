/*
 * A TCP connection of a session: what is pending on it, and how each of its requests ends.
 *
 * Every request that a function here takes on, but a grant of credit, is answered exactly once: when it is done, when
 * the connection breaks, or with CLOSED when the connection is closed first. Functions that return a code answer
 * nothing when it is negative.
 *
 * A connection that is closed while it has something to send lingers, as a socket of the kernel does: its handle is
 * free at once, and the bytes leave as the peer takes them, for LINGER_MS at most. One that is to end with a reset
 * lingers until the peer has what comes before. Until then its socket and its bytes are charged to the user, which
 * bounds how much there can be of this.
 */
#ifndef OCHE_DAEMON_CONNECTION_H
#define OCHE_DAEMON_CONNECTION_H

#include "daemon/address.h"
#include "daemon/engine.h"
#include "daemon/list.h"
#include "daemon/outgoing.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

enum connection_state {
    CONNECTION_CONNECTING, /* has a handle, which the client does not know yet */
    CONNECTION_OPEN,
    CONNECTION_LINGERING, /* the client has closed it, or is gone; there is still something to send */
    CONNECTION_CLOSED,    /* freed at the end of the turn */
};

struct connection {
    struct session *session;
    struct engine_socket *socket;
    struct list waiting_node; /* in session->connecting, waiting_for_room or lingering */
    int64_t handle;
    int64_t accepted_by; /* handle of the listener, 0 if there was none */
    enum connection_state state;

    int64_t connect_request; /* while connecting */

    int64_t credit;    /* bytes that the client lets us receive */
    bool receiving;    /* a receive is under way */
    uint32_t offered;  /* room of the receive under way */
    bool expects_many; /* a receive filled its room, and none got little since */
    bool read_ended;   /* the client was told of the end, or of a failure */
    uint16_t broken;   /* errno that a send met: an end of the stream is not to be trusted after it */

    struct outgoing outgoing;

    struct engine_timer *timer; /* limits connecting (NULL: no limit), and lingering */
    uint32_t checks;            /* while lingering: how often the peer did not have everything yet */
};

struct connection_target {
    struct address remote;
    struct address source; /* length 0: any */
    uint32_t timeout_ms;   /* 0: none */
};

/* Begins to connect; the request is answered later. 0, or a negative code with *os_error. */
int connection_connect(struct session *session, int64_t request_id, const struct connection_target *target,
                       int *os_error);

/* Ends the attempt that the CONNECT with this id began, if it is still under way, and answers it with CLOSED. */
void connection_cancel(struct session *session, int64_t connect_request);

/* Takes over `fd`, for which descriptors_take() was called, and answers the ACCEPT. Negative: out of memory, or no
 * handle is left; the descriptor stays the caller's and nothing is answered. */
int connection_accepted(struct session *session, int64_t request_id, int fd, const struct sockaddr_storage *peer,
                        int64_t listener);

/* Lets the connection receive `credit` more bytes. False: that is more than a client may grant. */
bool connection_grant(struct connection *connection, int64_t credit);
void connection_retry_receive(struct connection *connection);

/* The handle is free from now on, and pending requests end with CLOSED. The connection lingers if it has something to
 * send; else the descriptor is closed, and the object lives to the end of the turn. */
void connection_close(struct connection *connection);

/* The same without lingering: what was not sent is dropped, and the peer sees a reset. */
void connection_abort(struct connection *connection);

/* Closes the descriptor, and answers nothing. The peer sees a reset if bytes are dropped, or if they may have been:
 * `whole` says that all that the client has sent was looked at. */
void connection_abandon(struct connection *connection, bool whole);

#endif
