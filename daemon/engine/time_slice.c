/*
 * Time slices: who has something to do, and whose turn it is.
 *
 * Slices with something to do queue up in `busy`. In each round all of them are served what was in their queue when the
 * round began. A slice whose time in the turn, its allowance, is used up keeps the rest for the next turn, in its
 * order, and what it took beyond is taken off the next allowance: some operations take long.
 *
 * Who uses up a long allowance is greedy, and gets short ones until it has had nothing to do for a while: so the one in
 * a conversation, who cannot go on before the answer has come, is answered at once beside one who floods, and two who
 * flood get the same. That an allowance was not used up for once proves nothing: a flood stops whenever a socket is
 * full. While others have nothing to do allowances are long, for each turn has its price. With one slice, as in the
 * daemon of one program, there is nobody to be held up, and the clock is not looked at.
 */
#include "daemon/engine/time_slice.h"

#include "daemon/engine/engine_core.h"

#include <assert.h>
#include <time.h>

enum {
    ROUNDS = 8, /* of serving, then the loop looks for new events */
    /* Nanoseconds. */
    ALLOWANCE_SHORT = 25 * 1000,
    ALLOWANCE_LONG = 1000 * 1000,
    CONTENTION = 10 * 1000 * 1000, /* how long others are remembered */
    REST = 1000 * 1000,            /* without anything to do, after which a slice is not greedy any more */
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How long the slice has been served, this time. The time in which the system let others run is not the slice's; to
 * ask for it takes a system call, which is made only when it may matter. */
static int64_t time_used(const struct time_slice *slice)
{
    int64_t used = now_ns(CLOCK_MONOTONIC) - slice->began;
    return used < slice->left ? used : now_ns(CLOCK_THREAD_CPUTIME_ID) - slice->began_cpu;
}

void time_slice_init(struct time_slice *slice, struct engine *engine)
{
    *slice = (struct time_slice){.engine = engine};
    list_init(&slice->node);
    list_init(&slice->runnable);
    engine->slice_count++;
}

void time_slice_deinit(struct time_slice *slice)
{
    assert(list_is_empty(&slice->runnable));
    list_remove(&slice->node);
    slice->engine->slice_count--;
    if (slice->engine->last_served == slice)
        slice->engine->last_served = NULL;
}

bool time_slice_is_spent(const struct time_slice *slice)
{
    return slice->engine->slice_count > 1 && time_used(slice) >= slice->left;
}

void engine_work_submit(struct engine_work *work)
{
    if (!list_is_empty(&work->node))
        return;
    list_append(&work->slice->runnable, &work->node);
    if (list_is_empty(&work->slice->node))
        list_append(&work->slice->engine->busy, &work->slice->node);
}

void engine_work_cancel(struct engine_work *work)
{
    list_remove(&work->node);
}

static void run_first(struct list *batch)
{
    struct engine_work *work = list_entry(list_take_first(batch), struct engine_work, node);
    work->run(work);
}

/* One round of one slice. Work may cancel other work, and take it out of `batch`, but it may not end the slice. What
 * the backend has collected is carried out at once, so that the time it takes is counted against the slice. */
static void serve(struct time_slice *slice)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &slice->runnable);
    while (!list_is_empty(&batch) && !time_slice_is_spent(slice))
        run_first(&batch);
    if (slice->engine->flush)
        slice->engine->flush(slice->engine);
    /* What is left comes before what was added meanwhile. */
    list_splice(&batch, &slice->runnable);
    list_splice(&slice->runnable, &batch);
}

static void begin_turn_of(struct time_slice *slice)
{
    struct engine *engine = slice->engine;
    if (slice->began - slice->ended >= REST)
        slice->greedy = false;
    else if (slice->left <= 0)
        slice->greedy = true;
    int64_t allowance = slice->greedy && slice->began < engine->contended_until ? ALLOWANCE_SHORT : ALLOWANCE_LONG;
    slice->left = slice->left < 0 ? slice->left + allowance : allowance;
    slice->turn = engine->turn;
}

static void serve_in_time(struct time_slice *slice)
{
    struct engine *engine = slice->engine;
    if (engine->slice_count == 1) {
        serve(slice);
        return;
    }
    slice->began = now_ns(CLOCK_MONOTONIC);
    slice->began_cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    if (engine->last_served != slice) {
        engine->last_served = slice;
        engine->contended_until = slice->began + CONTENTION;
    }
    if (slice->turn != engine->turn)
        begin_turn_of(slice);
    if (slice->left > 0)
        serve(slice);
    slice->left -= time_used(slice);
    slice->ended = now_ns(CLOCK_MONOTONIC);
}

void time_slice_serve_all(struct engine *engine)
{
    bool served = true;
    for (int round = 0; round < ROUNDS && served; round++) {
        struct list batch;
        struct list *node;
        list_init(&batch);
        list_splice(&batch, &engine->busy);
        served = false;
        while ((node = list_take_first(&batch))) {
            struct time_slice *slice = list_entry(node, struct time_slice, node);
            if (engine->slice_count == 1 || slice->turn != engine->turn || slice->left > 0) {
                serve_in_time(slice);
                served = true;
            }
            if (!list_is_empty(&slice->runnable) && list_is_empty(&slice->node))
                list_append(&engine->busy, &slice->node);
        }
    }
}
