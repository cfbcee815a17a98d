/*
 * What a backend of the engine is: how the loop waits, and how operations on sockets reach the system.
 *
 * The core of the engine decides what is to be done and when: it keeps the states of sockets and their time slices. A
 * backend watches sockets for it, and moves the bytes of streams. It may do that within the call, as a system with
 * readiness does, or later, as a system with completions does; then it returns ENGINE_IN_FLIGHT and reports the result
 * by the functions of socket_progress.h. All sockets are non-blocking, so an operation that would have to wait ends
 * with -EAGAIN in both cases, and the core has the socket watched.
 *
 * Connections are accepted, and messages moved, by system calls with every backend (socket_calls.h): one sendmmsg(2)
 * for many messages leaves little to gain, and an accept that the system has must not take a connection from others.
 *
 * For files of this folder only.
 */
#ifndef OCHE_DAEMON_ENGINE_BACKEND_H
#define OCHE_DAEMON_ENGINE_BACKEND_H

#include "daemon/engine/engine_core.h"
#include "daemon/engine/time_slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct engine_handlers;

enum engine_inward {
    INWARD_NONE,
    INWARD_RECV,
    INWARD_RECV_HELD, /* there was no room */
    INWARD_MESSAGE,
    INWARD_MESSAGE_HELD,
    INWARD_ACCEPT,
};
enum engine_outward { OUTWARD_NONE, OUTWARD_SEND, OUTWARD_MESSAGES, OUTWARD_CONNECT };
enum engine_progress {
    PROGRESS_NONE,      /* the operation, if there is one, waits for the socket to be ready, or for its turn */
    PROGRESS_IN_FLIGHT, /* the system has it */
    PROGRESS_DONE,      /* there is a result, which the owner will be told when the slice has its turn */
};

enum { ENGINE_VECTORS_PER_SEND = 64 };

/* No errno is that large. */
#define ENGINE_IN_FLIGHT ((ssize_t)INT32_MIN)

/* Bytes that were received and given back. */
struct engine_pushed_back {
    struct engine_pushed_back *next; /* what was given back before, and comes after this */
    size_t size;
    size_t taken; /* bytes, from the first one on */
    uint8_t bytes[];
};

/* The part of a socket that all backends have; a backend's own struct begins with it. */
struct engine_socket {
    struct engine_work work; /* its node may be in engine->closing, too */
    struct engine *engine;
    const struct engine_handlers *handlers;
    void *owner;
    int fd;             /* -1: closed */
    int connect_result; /* what connect() said: -EINPROGRESS if the outcome came later */
    uint8_t inward;
    uint8_t outward;
    uint8_t inward_progress;
    uint8_t outward_progress;
    uint8_t in_flight; /* operations, and watches, that the system has not finished: the memory stays until then */
    bool readable;     /* a receive or accept is worth a try */
    bool writable;     /* a send is worth a try, or a connect has ended */
    bool broken;       /* the system has reported what engine_watch_break() waits for */
    bool listens;      /* connections were, or are, accepted */
    bool watches_read;
    bool watches_write;
    size_t room_size;                       /* of the receive in flight */
    struct engine_pushed_back *pushed_back; /* bytes that come before what the system has; NULL: none */
    ssize_t inward_result;
    ssize_t outward_result;
};

/* A bell; a backend's own struct begins with it. */
struct engine_bell {
    struct engine *engine;
    int fd;
    void (*rung)(void *owner);
    void *owner;
};

struct engine_send {
    struct iovec *vectors;
    int count;
    const int *descriptors; /* that go with the first byte */
    int descriptor_count;
};

struct engine_backend {
    const char *name; /* as on the command line */

    /* Of its structs that begin with those above. */
    size_t engine_size;
    size_t socket_size;
    size_t bell_size;

    /* 0 or a negative errno; then `deinit` follows, too. */
    int (*init)(struct engine *engine);
    void (*deinit)(struct engine *engine);

    /* Takes note of what has happened, and waits for it until `due` (CLOCK_MONOTONIC, nanoseconds; INT64_MAX: for ever;
     * 0: does not wait). It may return early. 0 or a negative errno. */
    int (*wait)(struct engine *engine, int64_t due);

    /* As engine->flush. */
    void (*flush)(struct engine *engine);

    void (*socket_init)(struct engine_socket *socket);
    /* Ends all watches. The descriptor is about to be closed; when this returns the system has none of the memory that
     * operations in flight have, or will not touch it. */
    void (*socket_forget)(struct engine_socket *socket);

    /* From now on, until it is unwatched, engine_socket_is_readable() is called when the socket is readable, or once
     * and then again after the next watch_read; watches_read says which. False: the system lacks the memory for it. */
    bool (*watch_read)(struct engine_socket *socket);
    void (*unwatch_read)(struct engine_socket *socket);
    /* engine_socket_is_writable() will be called once. */
    bool (*watch_write)(struct engine_socket *socket);
    /* engine_socket_is_broken() will be called once, when the connection breaks. It may fail silently. */
    void (*watch_break)(struct engine_socket *socket);

    /* The result of the operation, as of recv(2) and sendmsg(2), but a negative errno; or ENGINE_IN_FLIGHT. */
    ssize_t (*receive)(struct engine_socket *socket, uint8_t *room, size_t size);
    ssize_t (*send)(struct engine_socket *socket, const struct engine_send *send);

    /* 0 or a negative errno. */
    int (*bell_init)(struct engine_bell *bell);
    /* Closes the descriptor and frees the bell, now or when the system is done with it. */
    void (*bell_free)(struct engine_bell *bell);
};

#endif
