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
#include "daemon/tls/tls_context.h"

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

/* The TLS handshake is done: 0; or it has failed, or taken too long, and the connection is to be dropped: -errno. */
typedef void connection_secured(void *owner, struct connection *connection, int result);

struct connection {
    struct socket socket;
    struct socket_stream lowest;
    struct stream *stream; /* the topmost */
    SSL *ssl;              /* while connecting: what comes when the system has connected; NULL: nothing */

    /* Of one that a listener has accepted, until it is given to an ACCEPT. */
    struct list waits; /* in the listener's list */
    connection_secured *secured;
    void *secured_owner;
    enum connection_state state;
    bool is_shut;            /* the stream is closed */
    int64_t accepted_by;     /* handle of the listener, 0 if there was none */
    struct request connects; /* held while connecting */

    int64_t credit;         /* bytes that the client lets us receive */
    bool receiving;         /* a receive is under way */
    struct lane_room room;  /* of the receive that the system has */
    bool expects_many;      /* a receive filled its room, and none got little since */
    bool read_ended;        /* the client was told of the end, or of a failure */
    struct request pauses;  /* a PAUSE, held while the system has the room of a receive */
    struct request secures; /* a SECURE, held while hands are shaken */

    struct outgoing outgoing;

    struct engine_timer timer; /* limits lingering */
    uint32_t checks;           /* while lingering: how often the peer did not have everything yet */
};

extern const struct socket_kind connection_kind;

struct connection_target {
    struct address remote;
    struct address source;   /* length 0: any */
    struct tls_context *tls; /* NULL: none */
    const char *server_name; /* with TLS */
};

/* Begins to connect, and holds the request: 0. Or a negative code with *os_error. */
int connection_connect(struct request *request, const struct connection_target *target, int *os_error);

/* Takes over `fd`, for which socket_charge() was called, and completes the ACCEPT. Negative: out of memory, or no
 * handle is left; the descriptor stays the caller's and nothing is completed. */
int connection_accepted(struct request *request, int fd, const struct sockaddr_storage *peer, int64_t listener);

/* Takes over `fd`, for which socket_charge() was called, and puts TLS on it: `secured` is told what comes of the
 * handshake. Takes over `ssl`. NULL: out of memory, or no handle is left; the descriptor stays the caller's. */
struct connection *connection_secure(struct session *session, int fd, int64_t listener, SSL *ssl,
                                     connection_secured *secured, void *owner);

/* Completes the ACCEPT with a connection that is secured. */
void connection_hand_over(struct connection *connection, struct request *request);

/* Nobody wants the connection, of which no client knows. The peer sees a reset. */
void connection_drop(struct connection *connection);

/* Closes the connections that this listener has accepted. */
void connection_close_accepted(struct session *session, int64_t listener);

/* The connection, of which `socket` is a part. */
struct connection *connection_of(struct socket *socket);

#endif
