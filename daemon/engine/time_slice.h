/*
 * A slice of the engine's time: what sockets and pieces of work have to do is counted against the slice that they
 * belong to. As long as there are several slices, none gets more than a little time in a turn, and what it could not do
 * waits for the next turn: who wants less than others is not held up by how much others want.
 */
#ifndef OCHE_DAEMON_ENGINE_TIME_SLICE_H
#define OCHE_DAEMON_ENGINE_TIME_SLICE_H

#include "daemon/engine/list.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* The members but `engine` are the engine's. */
struct time_slice {
    struct engine *engine;
    struct list node;     /* in engine->busy, or in none */
    struct list runnable; /* work, in the order in which it came */
    uint64_t turn;        /* in which it was served last */
    bool greedy;          /* it wanted more than a long allowance, and has not rested since */
    int64_t left;         /* nanoseconds of this turn; negative: too much was used */
    int64_t began;        /* being served: since when, by the clock, */
    int64_t began_cpu;    /* and by the processor time of the thread */
    int64_t ended;        /* being served, by the clock */
};

void time_slice_init(struct time_slice *slice, struct engine *engine);
/* What belongs to it must be closed or cancelled. */
void time_slice_deinit(struct time_slice *slice);
/* True: its time in this turn is used up. Who has more to do submits work and returns. */
bool time_slice_is_spent(const struct time_slice *slice);

/* Something to do when the slice has its turn. All zero but for `run` and `slice`, and list_init() on the node. */
struct engine_work {
    struct list node;
    void (*run)(struct engine_work *work);
    struct time_slice *slice;
};

/* Harmless if the work is submitted already. It may be submitted again from within `run`. */
void engine_work_submit(struct engine_work *work);
void engine_work_cancel(struct engine_work *work);

/* For the engine's turn: lets those slices that are busy do what they have to, as far as the turn has time for them. */
void time_slice_serve_all(struct engine *engine);

#endif
