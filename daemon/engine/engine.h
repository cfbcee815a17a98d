/*
 * The engine: one event loop that speaks completions.
 *
 * Its users submit an operation on a socket and are told later that it is done; whether the system underneath reports
 * readiness or completions is the backend's business (backend.h).
 *
 * Rules that hold with every backend:
 *   - An operation never completes inside the call that submits it, so handlers are never re-entered.
 *   - Room for a receive is asked for when bytes are there, and the bytes to send when they can be taken: a waiting
 *     operation holds no buffer. From then on they are the system's, and must stay as they are, until `received` or
 *     `sent` comes, the room is given back, or the socket is closed.
 *   - After engine_socket_close() no operation of that socket completes any more; its `closed` handler runs once, at
 *     the end of this turn or of a later one, when the system is done with the socket and with the memory that its
 *     operations had. It is the place to free the owner.
 *   - A turn does a bounded amount of work for each socket, and spends a bounded time on each slice (time_slice.h).
 *
 * An engine belongs to the thread that runs it. Only engine_wake() may be called from other threads.
 *
 * This header has all that users need: sockets, bells, timers, time slices and deferred work.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_H
#define OCHE_DAEMON_ENGINE_ENGINE_H

#include "daemon/engine/engine_bell.h"
#include "daemon/engine/engine_deferred.h"
#include "daemon/engine/engine_handlers.h"
#include "daemon/engine/engine_socket.h"
#include "daemon/engine/engine_timer.h"
#include "daemon/engine/engine_wake.h"
#include "daemon/engine/list.h"
#include "daemon/engine/time_slice.h"

#include <stdbool.h>

struct engine;

enum engine_method { ENGINE_EPOLL, ENGINE_SELECT, ENGINE_IO_URING };

/* 0, or a negative errno: the system does not have it, or denies it. */
int engine_method_probe(enum engine_method method);

/* As on the command line. */
const char *engine_method_name(enum engine_method method);

/* True: the system may hold the room of a receive, and the bytes of a send, while other handlers run. False: `received`
 * and `sent` follow at once when room and bytes were asked for. */
bool engine_holds_memory(const struct engine *engine);

/* NULL with errno if the system refuses. `woken` runs in the loop after one or more engine_wake(). */
struct engine *engine_new(enum engine_method method, void (*woken)(void *context), void *context);

/* Sockets that were closed since the last turn are freed; all others, and all timers and bells, must be gone. NULL is
 * fine. */
void engine_free(struct engine *engine);

/* Runs turns until engine_stop(), and until the sockets that are closed are freed. 0 or -errno. */
int engine_run(struct engine *engine);

/* Frees the sockets that were closed, as the end of a turn does. For when engine_run() has failed. */
void engine_free_closed(struct engine *engine);

/* Makes engine_run return after the current turn. */
void engine_stop(struct engine *engine);

#endif
