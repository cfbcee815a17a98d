/*
 * Timers, embedded in the objects that they belong to: setting one takes no memory and cannot fail.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_TIMER_H
#define OCHE_DAEMON_ENGINE_ENGINE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* The members are the engine's. All zero: a timer that was not initialized, which may be cancelled and deinitialized.
 */
struct engine_timer {
    struct engine *engine;
    void (*fired)(void *owner);
    void *owner;
    int64_t due; /* CLOCK_MONOTONIC, nanoseconds */
    bool is_set;
    struct engine_timer *child;    /* the first of those in the heap that are due later */
    struct engine_timer *next;     /* its next sibling */
    struct engine_timer *previous; /* its previous sibling, or the parent of the first one */
};

/* A timer fires once after it was set, in the loop, and may be set again. */
void engine_timer_init(struct engine_timer *timer, struct engine *engine, void (*fired)(void *owner), void *owner);
/* Sets it, or sets it anew: it fires when the time is over, and not before. */
void engine_timer_set(struct engine_timer *timer, uint64_t milliseconds);
void engine_timer_cancel(struct engine_timer *timer);
/* Before its memory goes. Idempotent, and fine in its own handler. */
void engine_timer_deinit(struct engine_timer *timer);

/* For the engine's turn: when the next timer is due, or INT64_MAX. */
int64_t engine_timer_next_due(const struct engine *engine);
/* For the engine's turn: lets all timers fire that are due. */
void engine_timer_fire_due(struct engine *engine);

#endif
