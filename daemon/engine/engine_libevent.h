/*
 * What the parts of the engine on libevent share: the loop, in engine_libevent.c, and its sockets.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_LIBEVENT_H
#define OCHE_DAEMON_ENGINE_ENGINE_LIBEVENT_H

#include "daemon/engine/engine.h"
#include "daemon/engine/list.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>

enum { ENGINE_SIGNALS_MAX = 8 };

struct engine_socket {
    struct engine_work job; /* its node may be in engine->closing, too */
    struct engine *engine;
    const struct engine_handlers *handlers;
    void *owner;
    int fd;
    int connect_result; /* what connect() said: -EINPROGRESS if the outcome came later */
    uint8_t inward;
    uint8_t outward;
    bool readable; /* a receive or accept is worth a try */
    bool writable; /* a send is worth a try, or a connect has ended */
    bool broken;   /* the system has reported what engine_watch_break() waits for */
    bool watches_read;
    bool watches_write;
    struct event read_event;
    struct event write_event;
};

struct engine {
    struct event_base *base;
    struct list busy; /* shares with something to do */
    unsigned share_count;
    uint64_t turn; /* the number of this one */
    struct time_slice *last_served;
    int64_t contended_until; /* CLOCK_MONOTONIC, nanoseconds */
    struct list tasks;
    struct list closing; /* sockets that are freed at the end of the turn */
    size_t moved;        /* bytes, in this turn */
    bool stopped;

    int wake_fd;
    struct event *wake_event;
    int break_fd; /* an epoll descriptor: see engine_break.c */
    struct event *break_event;
    atomic_bool wake_pending;
    void (*woken)(void *context);
    void *context;

    struct event *signal_events[ENGINE_SIGNALS_MAX];
    size_t signal_count;
    void (*caught)(void *context, int signal);
};

/* Lets those shares that are busy do what they have to, as far as the turn has time for them. */
void engine_serve_shares(struct engine *engine);

/* Prepares for engine_watch_break(). 0 or -errno. */
int engine_break_init(struct engine *engine);
void engine_break_deinit(struct engine *engine);

/* Frees a socket of `closing`, taken from the list before, and tells its owner. */
void engine_socket_free(struct list *node);

#endif
