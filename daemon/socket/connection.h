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
#ifndef OCHE_DAEMON_SOCKET_CONNECTION_H
#define OCHE_DAEMON_SOCKET_CONNECTION_H

#include "daemon/engine/engine.h"
#include "daemon/lane/lane_state.h"
#include "daemon/session/request.h"
#include "daemon/session/socket.h"
#include "daemon/socket/address.h"
#include "daemon/socket/outgoing.h"
#include "daemon/stream/socket_stream.h"
#include "proto/endpoints.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

struct session;

enum connection_state {
    CONNECTION_CONNECTING, /* has a handle, which the client does not know yet */
    CONNECTION_OPEN,
    CONNECTION_LINGERING, /* the client has closed it, or is gone; there is still something to send */
    CONNECTION_CLOSED,    /* freed at the end of the turn */
};

struct connection;

/* The system has connected, or the filter on top is open: 0; or it has failed: -errno; or STREAM_ASKS. */
typedef void connection_opened(struct connection *connection, int result);

/* The TLS handshake of a connection that was accepted is done: 0; or the connection is to be dropped: -errno. */
typedef void connection_secured(void *owner, struct connection *connection, int result);

/* Of daemon/socket/tls_connection.h. */
struct securing {
    SSL *ssl;               /* while the system connects: what comes then; NULL: nothing */
    struct request request; /* a SECURE or TRUST, held while hands are shaken */
    bool asks;              /* the handshake waits for a TRUST */

    /* Of one that a listener has accepted, until it is given to an ACCEPT. */
    struct list waits; /* in the listener's list */
    connection_secured *secured;
    void *owner;
};

struct connection {
    struct socket socket;
    struct socket_stream lowest;
    struct stream *stream;     /* the topmost */
    connection_opened *opened; /* who is told by the streams; NULL: with the system's word the connection is there */
    struct securing securing;
    enum connection_state state;
    bool is_shut;            /* the stream is closed */
    struct endpoint peer;    /* the other end, also when it is gone */
    int64_t accepted_by;     /* handle of the listener, 0 if there was none */
    struct request connects; /* held while connecting */

    int64_t credit;        /* bytes that the client lets us receive */
    bool receiving;        /* a receive is under way */
    struct lane_room room; /* of the receive that the system has */
    bool expects_many;     /* a receive filled its room, and none got little since */
    bool read_ended;       /* the client was told of the end, or of a failure */
    struct request pauses; /* a PAUSE, held while the system has the room of a receive */

    struct outgoing outgoing;

    struct engine_timer timer; /* limits lingering */
    uint32_t checks;           /* while lingering: how often the peer did not have everything yet */
};

extern const struct socket_kind connection_kind;

struct connection_target {
    struct address remote;
    struct address source;     /* length 0: any */
    connection_opened *opened; /* as above */
    SSL *ssl;                  /* for it; NULL: none */
};

/* Begins to connect, and holds the request: 0; then it has taken over target->ssl. Or a negative code with
 * *os_error. */
int connection_connect(struct request *request, const struct connection_target *target, int *os_error);

/* Takes over `fd`, for which socket_charge() was called. NULL: *code says why, and the descriptor stays the caller's.
 */
struct connection *connection_take(struct session *session, int fd, const struct sockaddr_storage *peer,
                                   int64_t listener, int *code);

/* Completes the ACCEPT with a connection that was taken. */
void connection_accepted(struct connection *connection, struct request *request);

/* Nobody wants the connection, of which no client knows. The peer sees a reset. */
void connection_drop(struct connection *connection);

/* Closes the connections that this listener has accepted. */
void connection_close_accepted(struct session *session, int64_t listener);

/* ---- for daemon/socket/tls_connection.h ---- */

/* Completes the CONNECT of a connection that is there. `why`: what has to be said of it, or NULL. */
void connection_connected(struct connection *connection, const char *why);

/* Completes the CONNECT with a code, and ends the connection. `why` may be NULL. */
void connection_connect_failed(struct connection *connection, int code, int os_error, const char *why);

/* A filter lies on the connection from now on, of which `opened` is told. */
void connection_put_on(struct connection *connection, struct stream *filter, connection_opened *opened);
bool connection_has_filter(const struct connection *connection);

/* The connection is of no use any more: writes fail with that, nothing is read, and it ends with a reset. */
void connection_fail(struct connection *connection, struct write_failure failure);

/* The connection, of which `socket` is a part. */
struct connection *connection_of(struct socket *socket);

#endif
