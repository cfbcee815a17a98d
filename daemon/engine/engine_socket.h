/*
 * Sockets of the engine: operations that complete later, and what can be asked of a socket at once.
 *
 * A socket has at most one inward operation (receive or accept) and one outward operation (send or connect) under way.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_SOCKET_H
#define OCHE_DAEMON_ENGINE_ENGINE_SOCKET_H

#include "daemon/engine/engine_handlers.h"
#include "daemon/engine/time_slice.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct engine_socket;

/* Takes over `fd`, which must be non-blocking. NULL: out of memory, and the descriptor stays the caller's. */
struct engine_socket *engine_socket_new(struct time_slice *slice, int fd, const struct engine_handlers *handlers,
                                        void *owner);

/* Closes the descriptor at once. No operation of the socket completes any more. */
void engine_socket_close(struct engine_socket *socket);
/* The same, and what the other end of a connection sees is a reset, never the end of the stream. */
void engine_socket_reset(struct engine_socket *socket);

/* ---- operations ---- */

void engine_accept(struct engine_socket *socket);
void engine_recv(struct engine_socket *socket);
/* There is room again for a receive that `receive_buffer` or `message_room` had none for. Harmless otherwise. */
void engine_recv_retry(struct engine_socket *socket);
/* Nobody wants to receive any more. False: the system has the room of the receive, and `received` or `room_unused` will
 * come. */
bool engine_recv_withdraw(struct engine_socket *socket);
/* Gives back bytes that were received, of which a copy is made: the next receive brings them, before what the system
 * has. The system must not have the room of a receive. 0 or -ENOMEM. */
int engine_push_back(struct engine_socket *socket, const void *bytes, size_t size);
void engine_send(struct engine_socket *socket);
/* Of a datagram socket: one message in, or as many out as the system takes at once. */
void engine_recv_message(struct engine_socket *socket);
void engine_send_messages(struct engine_socket *socket);
void engine_connect(struct engine_socket *socket, const struct sockaddr *address, socklen_t length);
/* engine_accept() waits for a connection that nobody wants any more: it stays with the system when it comes. */
void engine_accept_withdraw(struct engine_socket *socket);
/* There is nothing left of what engine_send() was to send. The system must not have any of it: between `send_vectors`
 * and `sent` or `bytes_unused` a send cannot be withdrawn. */
void engine_send_withdraw(struct engine_socket *socket);
/* For a socket that receives nothing any more, and would learn of a reset by its next send only: `broke` runs, once,
 * when the connection breaks. */
void engine_watch_break(struct engine_socket *socket);

/* ---- what is answered at once: 0 or a negative errno, where nothing else is said ---- */

/* As getsockname(2) and getpeername(2). The rest of *address is zero. */
int engine_socket_name(const struct engine_socket *socket, struct sockaddr_storage *address);
int engine_socket_peer(const struct engine_socket *socket, struct sockaddr_storage *address);

/* As getsockopt(2) and setsockopt(2). */
int engine_socket_get_option(const struct engine_socket *socket, int level, int name, void *value, socklen_t *size);
int engine_socket_set_option(const struct engine_socket *socket, int level, int name, const void *value,
                             socklen_t size);

/* As shutdown(2). */
int engine_socket_shut_down(const struct engine_socket *socket, int how);

/* Bytes that the peer of a TCP connection has not acknowledged, and bytes that have come and were not received. */
int engine_socket_unsent(const struct engine_socket *socket);
int engine_socket_unread(const struct engine_socket *socket);

/* The descriptor, for a message that passes it to another process. Nothing else may be done with it. */
int engine_socket_fd(const struct engine_socket *socket);

/* Another descriptor of the socket, close-on-exec, which is the caller's. */
int engine_socket_duplicate(const struct engine_socket *socket);

/* Sends as much as the system takes at once, with descriptors over a Unix-domain socket. -EBUSY: the system has
 * bytes of a send already, and `sent` has not come. Returns the count of bytes. */
ssize_t engine_socket_send_now(const struct engine_socket *socket, const void *bytes, size_t size,
                               const int *descriptors, int descriptor_count);

#endif
