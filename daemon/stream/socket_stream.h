/*
 * The lowest stream of a connection: a stream socket of the system's.
 */
#ifndef OCHE_DAEMON_STREAM_SOCKET_STREAM_H
#define OCHE_DAEMON_STREAM_SOCKET_STREAM_H

#include "daemon/engine/engine.h"
#include "daemon/stream/stream.h"

/* A part of the owner's object, which is freed when the owner of the topmost stream is told that it is closed. */
struct socket_stream {
    struct stream stream;
    struct engine_socket *socket; /* its name, its options and the like are asked of it */
};

/* Takes over `fd`, which must be non-blocking. 0; or -ENOMEM, and the descriptor stays the caller's. */
int socket_stream_init(struct socket_stream *socket, struct time_slice *slice, int fd, const struct stream_user *user,
                       void *owner);

/* Connects a socket that is not connected yet; `opened` follows. */
void socket_stream_connect(struct socket_stream *socket, const struct sockaddr *address, socklen_t length);

#endif
