/*
 * The engine's own state, which its parts share: each part has the members under its name and leaves the others alone.
 * For files of this folder only.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_CORE_H
#define OCHE_DAEMON_ENGINE_ENGINE_CORE_H

#include "daemon/engine/list.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_backend;
struct engine_bell;
struct engine_timer;
struct time_slice;

enum { ENGINE_SIGNALS_MAX = 8 };

struct engine {
    const struct engine_backend *backend; /* whose own struct begins with this one */
    bool stopped;

    /* Time slices: those with something to do, and whose turn it is. */
    struct list busy;
    unsigned slice_count;
    uint64_t turn; /* the number of this one */
    struct time_slice *last_served;
    int64_t contended_until; /* CLOCK_MONOTONIC, nanoseconds */
    /* Has the system carry out the operations that the backend has collected. NULL: it never collects any. */
    void (*flush)(struct engine *engine);

    /* Timers: a heap, of which this one is due first. NULL: none is set. */
    struct engine_timer *timers;

    /* Deferred work of this turn. */
    struct list deferred;

    /* Sockets. */
    struct list closing;           /* to be freed at the end of the turn */
    unsigned closed_but_in_flight; /* sockets that are closed, and whose operations the system has not finished */
    size_t moved;                  /* bytes, in this turn */

    /* Waking. */
    int wake_fd;
    struct engine_bell *wake_bell; /* owns wake_fd, once there is one */
    atomic_bool wake_pending;
    void (*woken)(void *context);
    void *context;

    /* Signals. */
    struct {
        int signal;
        struct sigaction before;
    } signals[ENGINE_SIGNALS_MAX];
    size_t signal_count;
    void (*caught)(void *context, int signal);
};

#endif
