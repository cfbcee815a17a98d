/*
 * How operations on sockets come about: from their submission, through the system, to their handler.
 *
 * For the engine's own files only: engine_socket.c submits, and backends report.
 */
#ifndef OCHE_DAEMON_ENGINE_SOCKET_PROGRESS_H
#define OCHE_DAEMON_ENGINE_SOCKET_PROGRESS_H

#include "daemon/engine/backend.h"

/* Carries out one operation in each direction, where there is one to carry out. The `run` of a socket's work. */
void engine_socket_serve(struct engine_work *work);

/* An operation was submitted: it has its turn when the socket is ready for it. */
void engine_socket_start_inward(struct engine_socket *socket, enum engine_inward operation);
void engine_socket_start_outward(struct engine_socket *socket, enum engine_outward operation);

/* What was received comes again, before anything else. The system must not have the room of a receive. */
void engine_socket_push_back(struct engine_socket *socket, struct engine_pushed_back *bytes);

/* The socket is closed: it will be freed when the system is done with it. */
void engine_socket_begin_closing(struct engine_socket *socket);

/* Frees the sockets that are closed and done with, and tells their owners. */
void engine_socket_free_closed(struct engine *engine);

/* From a backend: what a watch has seen. */
void engine_socket_is_readable(struct engine_socket *socket);
void engine_socket_is_writable(struct engine_socket *socket);
void engine_socket_is_broken(struct engine_socket *socket);

/* From a backend: it has let go of one of those things that socket->in_flight counts. */
void engine_socket_landed(struct engine_socket *socket);

/* From a backend: the result of an operation for which it has returned ENGINE_IN_FLIGHT. */
void engine_socket_inward_done(struct engine_socket *socket, ssize_t result);
void engine_socket_outward_done(struct engine_socket *socket, ssize_t result);

#endif
