/*
 * The shares of the engine: who has something to do, and whose turn it is.
 *
 * Shares with something to do queue up in `busy`. In each round all of them are served what was in their queue when the
 * round began. A share whose time in the turn, its slice, is used up keeps the rest for the next turn, in its order,
 * and what it took beyond is taken off the next slice: some operations take long.
 *
 * Who uses up a long slice is greedy, and gets short ones until it has had nothing to do for a while: so the one in a
 * conversation, who cannot go on before the answer has come, is answered at once beside one who floods, and two who
 * flood get the same. That a slice was not used up for once proves nothing: a flood stops whenever a socket is full.
 * While others have nothing to do slices are long, for each turn has its price. With one share, as in the daemon of one
 * program, there is nobody to be held up, and the clock is not looked at.
 */
#include "daemon/engine/engine_libevent.h"

#include <assert.h>
#include <time.h>

enum {
    ROUNDS = 8, /* of serving, then the loop looks for new events */
    /* Nanoseconds. */
    SLICE_SHORT = 25 * 1000,
    SLICE_LONG = 1000 * 1000,
    CONTENTION = 10 * 1000 * 1000, /* how long others are remembered */
    REST = 1000 * 1000,            /* without anything to do, after which a share is not greedy any more */
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How long the share has been served, this time. The time in which the system let others run is not the share's; to
 * ask for it takes a system call, which is made only when it may matter. */
static int64_t time_used(const struct time_slice *share)
{
    int64_t used = now_ns(CLOCK_MONOTONIC) - share->began;
    return used < share->left ? used : now_ns(CLOCK_THREAD_CPUTIME_ID) - share->began_cpu;
}

void time_slice_init(struct time_slice *share, struct engine *engine)
{
    *share = (struct time_slice){.engine = engine};
    list_init(&share->node);
    list_init(&share->runnable);
    engine->share_count++;
}

void time_slice_deinit(struct time_slice *share)
{
    assert(list_is_empty(&share->runnable));
    list_remove(&share->node);
    share->engine->share_count--;
    if (share->engine->last_served == share)
        share->engine->last_served = NULL;
}

bool time_slice_is_spent(const struct time_slice *share)
{
    return share->engine->share_count > 1 && time_used(share) >= share->left;
}

void engine_submit(struct engine_work *job)
{
    if (!list_is_empty(&job->node))
        return;
    list_append(&job->share->runnable, &job->node);
    if (list_is_empty(&job->share->node))
        list_append(&job->share->engine->busy, &job->share->node);
}

void engine_work_cancel(struct engine_work *job)
{
    list_remove(&job->node);
}

static void run_first(struct list *jobs)
{
    struct engine_work *job = list_entry(list_take_first(jobs), struct engine_work, node);
    job->run(job);
}

/* One round of one share. A job may end others, and take them out of `batch`, but not the share. */
static void serve(struct time_slice *share)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &share->runnable);
    while (!list_is_empty(&batch) && !time_slice_is_spent(share))
        run_first(&batch);
    /* What is left comes before what was added meanwhile. */
    list_splice(&batch, &share->runnable);
    list_splice(&share->runnable, &batch);
}

static void begin_slice(struct time_slice *share)
{
    struct engine *engine = share->engine;
    if (share->began - share->ended >= REST)
        share->greedy = false;
    else if (share->left <= 0)
        share->greedy = true;
    int64_t slice = share->greedy && share->began < engine->contended_until ? SLICE_SHORT : SLICE_LONG;
    share->left = share->left < 0 ? share->left + slice : slice;
    share->turn = engine->turn;
}

static void serve_in_time(struct time_slice *share)
{
    struct engine *engine = share->engine;
    if (engine->share_count == 1) {
        serve(share);
        return;
    }
    share->began = now_ns(CLOCK_MONOTONIC);
    share->began_cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    if (engine->last_served != share) {
        engine->last_served = share;
        engine->contended_until = share->began + CONTENTION;
    }
    if (share->turn != engine->turn)
        begin_slice(share);
    if (share->left > 0)
        serve(share);
    share->left -= time_used(share);
    share->ended = now_ns(CLOCK_MONOTONIC);
}

void engine_serve_shares(struct engine *engine)
{
    bool served = true;
    for (int round = 0; round < ROUNDS && served; round++) {
        struct list batch;
        struct list *node;
        list_init(&batch);
        list_splice(&batch, &engine->busy);
        served = false;
        while ((node = list_take_first(&batch))) {
            struct time_slice *share = list_entry(node, struct time_slice, node);
            if (engine->share_count == 1 || share->turn != engine->turn || share->left > 0) {
                serve_in_time(share);
                served = true;
            }
            if (!list_is_empty(&share->runnable) && list_is_empty(&share->node))
                list_append(&engine->busy, &share->node);
        }
    }
}
