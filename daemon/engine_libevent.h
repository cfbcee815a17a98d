/*
 * What the parts of the engine on libevent share: the loop, in engine_libevent.c, and its sockets.
 */
#ifndef OCHE_DAEMON_ENGINE_LIBEVENT_H
#define OCHE_DAEMON_ENGINE_LIBEVENT_H

#include "daemon/engine.h"
#include "daemon/list.h"

#include <event2/event.h>
#include <stdatomic.h>

enum { ENGINE_SIGNALS_MAX = 8 };

struct engine {
    struct event_base *base;
    struct list busy; /* shares with something to do */
    unsigned share_count;
    uint64_t turn; /* the number of this one */
    struct engine_share *last_served;
    int64_t contended_until; /* CLOCK_MONOTONIC, nanoseconds */
    struct list tasks;
    struct list closing; /* sockets that are freed at the end of the turn */
    size_t moved;        /* bytes, in this turn */
    bool stopped;

    int wake_fd;
    struct event *wake_event;
    atomic_bool wake_pending;
    void (*woken)(void *context);
    void *context;

    struct event *signal_events[ENGINE_SIGNALS_MAX];
    size_t signal_count;
    void (*caught)(void *context, int signal);
};

/* Lets those shares that are busy do what they have to, as far as the turn has time for them. */
void engine_serve_shares(struct engine *engine);

/* Frees a socket of `closing`, taken from the list before, and tells its owner. */
void engine_socket_free(struct list *node);

#endif
