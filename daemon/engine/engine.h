/*
 * The engine: one event loop that speaks completions.
 *
 * Its users submit an operation on a socket and are told later that it is done; whether the system underneath reports
 * readiness or completions is the backend's business. Each socket has at most one inward operation (receive or
 * accept) and one outward operation (send or connect) under way.
 *
 * Rules that every backend keeps:
 *   - An operation never completes inside the call that submits it, so handlers are never re-entered.
 *   - Memory for a receive is asked for when bytes are there, and the bytes to send when they can be taken: a waiting
 *     operation holds no buffer.
 *   - After engine_socket_close() no operation of that socket completes any more; its `closed` handler runs once, at
 *     the end of the turn, and is the place to free the owner.
 *   - A turn does a bounded amount of work for each socket, and spends a bounded time on each share of it.
 *
 * An engine belongs to the thread that runs it. Only engine_wake() may be called from other threads.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_H
#define OCHE_DAEMON_ENGINE_ENGINE_H

#include "daemon/engine/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct engine;
struct engine_socket;
struct engine_timer;
struct engine_bell;

enum engine_method { ENGINE_EPOLL, ENGINE_SELECT };

/*
 * A share of the engine's time: what sockets and jobs have to do is counted against the share that they belong to. As
 * long as there are several shares, none gets more than a little time in a turn, and what it could not do waits for the
 * next: who wants less than others is not held up by how much others want. The members are the engine's.
 */
struct time_slice {
    struct engine *engine;
    struct list node;     /* in engine->busy, or in none */
    struct list runnable; /* jobs, in the order in which they came */
    uint64_t turn;        /* in which it was served last */
    bool greedy;          /* it wanted more than a long slice, and has not rested since */
    int64_t left;         /* nanoseconds of this turn; negative: too much was used */
    int64_t began;        /* being served: since when, by the clock, */
    int64_t began_cpu;    /* and by the processor time of the thread */
    int64_t ended;        /* being served, by the clock */
};

void time_slice_init(struct time_slice *share, struct engine *engine);
/* What belongs to it must be closed or cancelled. */
void time_slice_deinit(struct time_slice *share);
/* True: its time in this turn is used up. Who has more to do submits a job and returns. */
bool time_slice_is_spent(const struct time_slice *share);

/* Something to do when the share has its turn. All zero but for `run` and `share`, and list_init() on the node. */
struct engine_work {
    struct list node;
    void (*run)(struct engine_work *job);
    struct time_slice *share;
};

/* Harmless if the job is submitted already. It may be submitted again from within `run`. */
void engine_submit(struct engine_work *job);
void engine_work_cancel(struct engine_work *job);

struct engine_handlers {
    /* Memory for up to *size bytes, size set by the handler. NULL: there is none now, and the receive waits until
     * engine_recv_retry(). `received` follows at once with the count, 0 at the end of the stream, or -errno. */
    uint8_t *(*receive_buffer)(void *owner, size_t *size);
    void (*received)(void *owner, ssize_t result);

    /* Fills up to `max` vectors with what shall be sent, and says how many. `sent` follows at once with the count of
     * bytes taken, which may be less than offered, or -errno. */
    int (*send_vectors)(void *owner, struct iovec *vectors, int max);
    void (*sent)(void *owner, ssize_t result);

    /* How many descriptors go with the first of these bytes, over a Unix-domain socket, and which; they stay open, and
     * the handler's. At most FD_MESSAGE_DESCRIPTORS_MAX. NULL: never any. */
    int (*send_descriptors)(void *owner, const int **descriptors);

    /* A descriptor, close-on-exec and non-blocking, which is now the handler's; or -errno. */
    void (*accepted)(void *owner, int result, const struct sockaddr_storage *peer);

    /* 0 or -errno. */
    void (*connected)(void *owner, int result);

    /* The connection broke, with this errno, while engine_watch_break() was in force. */
    void (*broke)(void *owner, int os_error);

    void (*closed)(void *owner);
};

/* NULL with errno if the system refuses. `woken` runs in the loop after one or more engine_wake(). */
struct engine *engine_new(enum engine_method method, void (*woken)(void *context), void *context);

/* Sockets that were closed since the last turn are freed; all others, and all timers, must be gone. NULL is fine. */
void engine_free(struct engine *engine);

/* Runs turns until engine_stop(). 0 or -errno. */
int engine_run(struct engine *engine);

/* Frees the sockets that were closed, as the end of a turn does. For when engine_run() has failed. */
void engine_free_closed(struct engine *engine);

/* Makes engine_run return after the current turn. */
void engine_stop(struct engine *engine);

/* Makes `woken` run soon; from any thread. */
void engine_wake(struct engine *engine);

/* `caught` runs in the loop when the process gets the signal. For one engine in the process. 0 or -errno. */
int engine_catch_signal(struct engine *engine, int signal, void (*caught)(void *context, int signal));

/* Takes over `fd`, which must be non-blocking. NULL: out of memory, and the descriptor stays the caller's. */
struct engine_socket *engine_socket_new(struct time_slice *share, int fd, const struct engine_handlers *handlers,
                                        void *owner);
int engine_socket_fd(const struct engine_socket *socket);

/* Closes the descriptor at once. */
void engine_socket_close(struct engine_socket *socket);
/* The same, and what the other end of a connection sees is a reset, never the end of the stream. */
void engine_socket_reset(struct engine_socket *socket);

void engine_accept(struct engine_socket *socket);
void engine_recv(struct engine_socket *socket);
/* There is memory again for a receive that `receive_buffer` had none for. Harmless otherwise. */
void engine_recv_retry(struct engine_socket *socket);
void engine_send(struct engine_socket *socket);
void engine_connect(struct engine_socket *socket, const struct sockaddr *address, socklen_t length);
/* For a socket that receives nothing any more, and would learn of a reset by its next send only: `broke` runs, once,
 * when the connection breaks. */
void engine_watch_break(struct engine_socket *socket);

/*
 * Something to do at the end of the turn, when all operations of the turn have been carried out. May be deferred again
 * from within `run`, for the next turn, which then does not wait. All zero but for `run`, and list_init() on the node.
 */
struct engine_deferred {
    struct list node;
    void (*run)(struct engine_deferred *task);
};

/* Harmless if the task is deferred already. */
void engine_defer(struct engine *engine, struct engine_deferred *task);
void engine_deferred_cancel(struct engine_deferred *task);

/* An eventfd that somebody else writes to: `rung` runs in the loop. Takes over `fd`, non-blocking. NULL: out of memory,
 * and the descriptor stays the caller's. */
struct engine_bell *engine_bell_new(struct engine *engine, int fd, void (*rung)(void *owner), void *owner);
/* Closes the descriptor. Not from within `rung`. NULL is fine. */
void engine_bell_free(struct engine_bell *bell);

/* NULL: out of memory. A timer fires once after it was set, and may be set again. */
struct engine_timer *engine_timer_new(struct engine *engine, void (*fired)(void *owner), void *owner);
void engine_timer_set(struct engine_timer *timer, uint64_t milliseconds);
void engine_timer_cancel(struct engine_timer *timer);
/* NULL is fine. May be called from its own handler. */
void engine_timer_free(struct engine_timer *timer);

#endif
