/*
 * Deferred work: something to do at the end of the turn, when all operations of the turn have been carried out.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_DEFERRED_H
#define OCHE_DAEMON_ENGINE_ENGINE_DEFERRED_H

#include "daemon/engine/list.h"

struct engine;

/* It may be deferred again from within `run`, for the next turn, which then does not wait. All zero but for `run`, and
 * list_init() on the node. */
struct engine_deferred {
    struct list node;
    void (*run)(struct engine_deferred *deferred);
};

/* Harmless if it is deferred already. */
void engine_defer(struct engine *engine, struct engine_deferred *deferred);
void engine_deferred_cancel(struct engine_deferred *deferred);

/* For the engine's turn: runs what is deferred. What is deferred meanwhile belongs to the next turn. */
void engine_deferred_run_all(struct engine *engine);

#endif
