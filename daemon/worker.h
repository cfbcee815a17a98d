/*
 * A worker: a thread with an event loop and the sessions that live in it. Workers share nothing but counters; what
 * others want of a worker is put in its mailbox.
 */
#ifndef OCHE_DAEMON_WORKER_H
#define OCHE_DAEMON_WORKER_H

#include "daemon/engine.h"
#include "daemon/estate.h"
#include "daemon/list.h"
#include "daemon/shared.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct account;
struct session_client;

/* What the sessions of one process have of the worker's time, together. */
struct worker_share {
    struct list node; /* in worker->shares */
    pid_t pid;
    unsigned sessions;
    struct engine_share share;
};

struct worker {
    struct shared *shared;
    struct engine *engine;
    pthread_t thread;
    struct list sessions;
    struct list shares;
    struct list starved; /* listeners that wait for a descriptor, a handle, or their turn */
    struct engine_timer *starved_timer;
    unsigned starved_delay_ms; /* that the timer was set to; 0: it does not run */
    struct engine_timer *drain_timer;
    bool draining;
    bool handing;                   /* our listeners are in an estate, and it is open whether a successor takes them */
    atomic_bool listed;             /* the estate has our listeners */
    atomic_bool handed_over;        /* the listeners are the successor's alone */
    atomic_bool finished;           /* the thread is about to end */
    atomic_bool failed;             /* … because its loop cannot wait any more; its sessions have ended */
    void (*changed)(void *context); /* a session is gone, or the worker has finished; in the worker's thread */
    void *context;

    struct {
        pthread_mutex_t lock;
        struct list arrivals;
        struct estate *estate; /* to put our listeners in; NULL: none, or done */
        bool kept;             /* the successor has not taken them */
        bool handed;           /* it has */
        bool drain;
        bool stop;
    } mailbox;
};

/* NULL with errno. The thread starts at once. */
struct worker *worker_new(struct shared *shared, enum engine_method method, void (*changed)(void *context),
                          void *context);

/* Waits for the thread, which worker_stop() or the end of worker_drain() ended. Until then it may wake all other
 * workers, so none of them is freed before the last one was joined. */
void worker_join(struct worker *worker);

/* NULL is fine. */
void worker_free(struct worker *worker);

/* These may be called from any thread. */

/* A client has connected: the worker takes over `fd`, and worker_session_gone() will be called for it. 0 or -ENOMEM;
 * then the descriptor stays the caller's. */
int worker_add_session(struct worker *worker, int fd, const struct session_client *client);
/* Finish what was asked for, then stop. */
void worker_drain(struct worker *worker);
/* Put the listeners into the estate; `listed` says when that is done. Then worker_keep() or worker_hand_over() follows.
 */
void worker_list(struct worker *worker, struct estate *estate);
/* Go on as before. */
void worker_keep(struct worker *worker);
/* The listeners are a successor's now: close them, of which `handed_over` tells, and tell the clients; finish what
 * these have written, then stop. */
void worker_hand_over(struct worker *worker);
/* End all sessions and stop. */
void worker_stop(struct worker *worker);
/* Starved listeners may find what they lack. */
void worker_retry_starved(struct worker *worker);

/* For the worker's own sessions. Gives back what was taken of the account for the session itself. */
void worker_session_gone(struct worker *worker, struct account *account, bool refused);
/* The share of a session of that process, to be given back when what belongs to the session is closed. NULL: out of
 * memory. */
struct worker_share *worker_take_share(struct worker *worker, pid_t pid);
void worker_give_back_share(struct worker_share *share);
/* A socket of this worker was closed. */
void worker_socket_gone(struct worker *worker);
/* Puts a listener's `starved_node` in the list. `delay_ms`: nothing will tell us, so try again after that; 0: somebody
 * will. */
void worker_starve(struct worker *worker, struct list *node, unsigned delay_ms);

#endif
