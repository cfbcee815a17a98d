/*
 * Operations on sockets as system calls: the result, or a negative errno.
 */
#ifndef OCHE_DAEMON_ENGINE_SOCKET_CALLS_H
#define OCHE_DAEMON_ENGINE_SOCKET_CALLS_H

#include "daemon/engine/backend.h"

#include <sys/socket.h>

struct engine_message;

ssize_t socket_calls_receive(struct engine_socket *socket, uint8_t *room, size_t size);
ssize_t socket_calls_accept(struct engine_socket *socket, struct sockaddr_storage *peer);
ssize_t socket_calls_send(struct engine_socket *socket, const struct engine_send *send);
ssize_t socket_calls_receive_message(struct engine_socket *socket, struct engine_message *message);
ssize_t socket_calls_send_messages(struct engine_socket *socket, struct engine_message *const *messages, int count);

#endif
