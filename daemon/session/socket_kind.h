/*
 * A socket of a session: what all kinds of it have in common.
 *
 * A kind of socket is a file with a struct that begins with struct socket, and a table that says what can be done with
 * it. The session, the gate and the handover know sockets by these tables alone, so that a new kind is a new file.
 *
 * Functions that a table leaves out (NULL) are for a kind that has nothing to do there.
 */
#ifndef OCHE_DAEMON_SESSION_SOCKET_KIND_H
#define OCHE_DAEMON_SESSION_SOCKET_KIND_H

#include "daemon/engine/list.h"

#include <stdbool.h>
#include <stdint.h>

struct handover_items;
struct engine_socket;
struct payload;
struct request;
struct session;
struct socket;

struct socket_kind {
    const char *name;    /* for the log */
    uint32_t operations; /* 1 << opcode: the requests that may name a socket of this kind */

    /* ---- requests ---- */

    /* The client lets the socket receive `credit` more bytes. False: that is more than a client may grant. */
    bool (*grant)(struct socket *socket, int64_t credit);
    /* Takes over *payload and holds the request if it returns 0. `total`: the bytes of all parts of the long write that
     * the frame belongs to, so far; its last part is answered with that. Negative: a code, with *os_error. */
    int (*write)(struct socket *socket, struct request *request, const struct payload *payload, int64_t total,
                 int *os_error);
    /* The end of the stream, behind all writes. 0: the request is completed, or held; or a code as above. */
    int (*shut_down)(struct socket *socket, struct request *request, int *os_error);
    /* Nothing is received any more, until there is credit again. 0: the request is completed, or held; or a code. */
    int (*pause)(struct socket *socket, struct request *request);
    /* Waits for a connection. 0: the request is held; or a code. */
    int (*accept)(struct socket *socket, struct request *request);
    /* The handle is free from now on, and held requests end with CLOSED. What was written is still sent. The request is
     * completed when the socket is closed for the client. */
    void (*close)(struct socket *socket, struct request *request);
    /* The same, but what was not sent is dropped, and the peer sees a reset. */
    void (*abort)(struct socket *socket);

    /* ---- the life of the session ---- */

    /* The lane has room for data again. */
    void (*relieve)(struct socket *socket);
    /* The client has begun a write and will not end it: what there is of the stream is not whole. */
    void (*cut)(struct socket *socket);
    /* The client is gone. What it has written before is still sent; the socket may linger for that. */
    void (*orphan)(struct socket *socket);
    /* The session ends: closes at once and answers nothing. `whole`: all that the client has sent was looked at. */
    void (*abandon)(struct socket *socket, bool whole);
    /* The daemon leaves: begins nothing new. */
    void (*drain)(struct socket *socket);

    /* ---- handover; see daemon/session/session.h ---- */

    /* Puts the socket into the items for a successor, and goes on with it. 0 or a negative errno. */
    int (*offer)(struct socket *socket, struct handover_items *items);
    /* The successor has not taken it. */
    void (*keep)(struct socket *socket);
    /* The successor has it: abandons it. */
    void (*give)(struct socket *socket);
};

struct socket {
    const struct socket_kind *kind;
    struct session *session;
    struct engine_socket *engine_socket;
    struct list node; /* in session->connecting, waiting_for_room or lingering */
    int64_t handle;
    bool open; /* the client knows the handle, and requests may name it */
};

#endif
