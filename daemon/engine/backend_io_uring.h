/*
 * The backend on io_uring(7): readiness is waited for, and bytes are moved, by one system call for many sockets.
 */
#ifndef OCHE_DAEMON_ENGINE_BACKEND_IO_URING_H
#define OCHE_DAEMON_ENGINE_BACKEND_IO_URING_H

struct engine_backend;

extern const struct engine_backend backend_io_uring;

/* 0, or a negative errno: the system has no io_uring, lacks something of it that is needed here, or denies it. */
int backend_io_uring_probe(void);

#endif
