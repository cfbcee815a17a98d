/*
 * Whoever lacks something that a socket takes: a handle, a descriptor, the turn at a shared queue, or a connection of
 * this second. The starved of a worker wait in its list, without a system call, until something comes free or a time is
 * over. Then all of them try again, in the order in which they came.
 */
#ifndef OCHE_DAEMON_SESSION_STARVATION_H
#define OCHE_DAEMON_SESSION_STARVATION_H

#include "daemon/engine/engine.h"
#include "daemon/engine/list.h"

/* One who may have to wait. All zero but for `retry`, and list_init() on the node. */
struct starved {
    struct list node; /* in starvation->waiting; in no list otherwise */
    void (*retry)(struct starved *starved);
};

struct starvation {
    struct list waiting;
    struct engine *engine;
    struct engine_timer timer;
    unsigned delay_ms; /* that the timer was set to; 0: it does not run */
};

void starvation_init(struct starvation *starvation, struct engine *engine);

/* Nobody waits any more. Fine for one that is all zero. */
void starvation_deinit(struct starvation *starvation);

/* Waits. `delay_ms`: nobody will tell when what is lacking is there, so try again after that; 0: somebody will. */
void starvation_wait(struct starvation *starvation, struct starved *starved, unsigned delay_ms);

/* All try again, now. */
void starvation_retry(struct starvation *starvation);

/* A socket of this worker was closed. It may have been a handle of its session that was lacking, of which no other
 * worker knows. All try again soon. */
void starvation_relieve(struct starvation *starvation);

#endif
