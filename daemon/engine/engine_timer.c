/*
 * Timers in a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986): a tree in which each timer is due no later
 * than its children. Its nodes are the timers themselves, so there is no array that would have to grow. Setting takes
 * constant time, taking out the first one O(log n) amortized, and a set timer that is cancelled, as nearly all are,
 * usually has no children and costs constant time as well.
 */
#include "daemon/engine/engine_timer.h"

#include "daemon/engine/engine_core.h"

#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- the heap ---- */

/* One heap of two, of which neither is empty. */
static struct engine_timer *meld(struct engine_timer *one, struct engine_timer *other)
{
    if (other->due < one->due) {
        struct engine_timer *swapped = one;
        one = other;
        other = swapped;
    }
    other->previous = one;
    other->next = one->child;
    if (other->next)
        other->next->previous = other;
    one->child = other;
    return one;
}

/* One heap of a list of siblings, which may be empty: they are melded in pairs, and then the pairs from last to first.
 */
static struct engine_timer *meld_siblings(struct engine_timer *sibling)
{
    struct engine_timer *pairs = NULL; /* linked through `next`, the last one first */
    while (sibling) {
        struct engine_timer *pair = sibling;
        struct engine_timer *other = sibling->next;
        sibling = other ? other->next : NULL;
        pair->next = NULL;
        if (other) {
            other->next = NULL;
            pair = meld(pair, other);
        }
        pair->next = pairs;
        pairs = pair;
    }
    struct engine_timer *heap = NULL;
    while (pairs) {
        struct engine_timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        heap = heap ? meld(heap, pair) : pair;
    }
    if (heap)
        heap->previous = NULL;
    return heap;
}

static void insert(struct engine *engine, struct engine_timer *timer)
{
    timer->child = timer->next = timer->previous = NULL;
    timer->is_set = true;
    engine->timers = engine->timers ? meld(engine->timers, timer) : timer;
}

static void take_out(struct engine *engine, struct engine_timer *timer)
{
    struct engine_timer *rest = meld_siblings(timer->child);
    timer->is_set = false;
    if (timer == engine->timers) {
        engine->timers = rest;
        return;
    }
    if (timer->next)
        timer->next->previous = timer->previous;
    if (timer->previous->child == timer)
        timer->previous->child = timer->next;
    else
        timer->previous->next = timer->next;
    if (rest)
        engine->timers = meld(engine->timers, rest);
}

/* ---- timers ---- */

void engine_timer_init(struct engine_timer *timer, struct engine *engine, void (*fired)(void *owner), void *owner)
{
    *timer = (struct engine_timer){.engine = engine, .fired = fired, .owner = owner};
}

void engine_timer_set(struct engine_timer *timer, uint64_t milliseconds)
{
    engine_timer_cancel(timer);
    timer->due = now_ns() + (int64_t)milliseconds * 1000000;
    insert(timer->engine, timer);
}

void engine_timer_cancel(struct engine_timer *timer)
{
    if (timer->is_set)
        take_out(timer->engine, timer);
}

void engine_timer_deinit(struct engine_timer *timer)
{
    engine_timer_cancel(timer);
}

int64_t engine_timer_next_due(const struct engine *engine)
{
    return engine->timers ? engine->timers->due : INT64_MAX;
}

void engine_timer_fire_due(struct engine *engine)
{
    if (!engine->timers)
        return;
    int64_t now = now_ns();
    while (engine->timers && engine->timers->due <= now) {
        struct engine_timer *timer = engine->timers;
        take_out(engine, timer);
        timer->fired(timer->owner);
    }
}
