/*
 * A worker: a thread with an event loop and the sessions that live in it. Workers share nothing but counters; what
 * others want of a worker is put in its mailbox.
 */
#ifndef OCHE_DAEMON_PROCESS_WORKER_H
#define OCHE_DAEMON_PROCESS_WORKER_H

#include "daemon/session/session_host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct handover_items;
struct session_client;

/* What others want of a worker. Bits, for several may come before the worker looks; it obeys them in this order. */
enum worker_order {
    WORKER_RETRY = 1 << 0, /* the starved may find what they lack */
    WORKER_KEEP = 1 << 1,  /* a successor has not taken the listeners that were offered: go on as before */
    WORKER_OFFER = 1 << 2, /* put the listeners into mailbox.items */
    WORKER_GIVE = 1 << 3,  /* the listeners are a successor's now: abandon them, tell the clients, and drain */
    WORKER_DRAIN = 1 << 4, /* finish what was asked for, then stop */
    WORKER_STOP = 1 << 5,  /* end all sessions and stop */
};

struct worker {
    struct session_host host;
    pthread_t thread;
    struct engine_timer drain_timer;
    bool draining;
    _Atomic enum handover_phase phase; /* what has been done of a handover; that of the host, for other threads */
    atomic_bool finished;              /* the thread is about to end */
    atomic_bool failed;                /* … because its loop cannot wait any more; its sessions have ended */
    void (*changed)(void *context);    /* a session is gone, or one of the three has changed; in the worker's thread */
    void *context;

    struct {
        pthread_mutex_t lock;
        struct list arrivals;
        struct handover_items *items; /* for WORKER_OFFER */
        unsigned orders;              /* enum worker_order */
    } mailbox;
};

/* NULL with errno. The thread starts at once. */
struct worker *worker_new(struct daemon_state *daemon, enum engine_method method, void (*changed)(void *context),
                          void *context);

/* Waits for the thread, which WORKER_STOP or the end of draining ended. Until then it may wake all other workers, so
 * none of them is freed before the last one was joined. */
void worker_join(struct worker *worker);

/* NULL is fine. */
void worker_free(struct worker *worker);

/* These may be called from any thread. */

/* A client has connected: the worker takes over `fd`, and worker_session_gone() will be called for it. 0 or -ENOMEM;
 * then the descriptor stays the caller's. */
int worker_add_session(struct worker *worker, int fd, const struct session_client *client);

void worker_order(struct worker *worker, enum worker_order order);

/* Orders WORKER_OFFER; `phase` says when it is done. WORKER_KEEP or WORKER_GIVE follows. */
void worker_offer(struct worker *worker, struct handover_items *items);

/* Gives back what was taken of the account for a session itself. */
void worker_session_gone(struct worker *worker, struct account *account, bool refused);

#endif
