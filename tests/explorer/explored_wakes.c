/* The code itself, over the explorer's stdatomic.h. What wakes a loop is a bell of the explorer. */
#include "tests/explorer/explored_wakes.h"

#include <sys/eventfd.h>
#include <unistd.h>

static int wake_bell;

#define eventfd(value, flags) ((void)(value), (void)(flags), 0)
#define write(fd, bytes, size) (explorer_ring(&wake_bell), (void)(fd), (void)(bytes), (ssize_t)(size))
#include "daemon/engine/engine_wake.c"
#include "daemon/session/descriptors.c"

struct engine_bell *engine_bell_new(struct engine *engine, int fd, void (*rung)(void *owner), void *owner)
{
    (void)engine, (void)fd, (void)rung, (void)owner;
    return NULL;
}

void engine_bell_free(struct engine_bell *bell)
{
    (void)bell;
}

/* ---- engine_wake ---- */

static struct engine engine;
static int finished[2];
static int threads_left;

static void look(void *context)
{
    (void)context;
    threads_left = 2;
    for (int i = 0; i < 2; i++)
        threads_left -= atomic_load_explicit(&finished[i], memory_order_relaxed);
}

static void begin_wake(void *state)
{
    (void)state;
    engine = (struct engine){.woken = look};
    finished[0] = finished[1] = 0;
    threads_left = 2;
    explorer_name(&engine.wake_pending, sizeof engine.wake_pending, "wake_pending");
    explorer_name(&finished[0], sizeof finished[0], "whether the first has finished");
    explorer_name(&finished[1], sizeof finished[1], "whether the second has finished");
    explorer_name(&wake_bell, 0, "the loop's bell");
}

static void finish(int number)
{
    atomic_store_explicit(&finished[number], 1, memory_order_relaxed);
    engine_wake(&engine);
}

static void finish_first(void *state)
{
    (void)state;
    finish(0);
}

static void finish_second(void *state)
{
    (void)state;
    finish(1);
}

static void loop(void *state)
{
    (void)state;
    while (threads_left > 0) {
        explorer_wait(&wake_bell);
        on_bell(&engine);
    }
}

static const char *end_all(void *state)
{
    (void)state;
    return NULL;
}

struct explorer_result explored_engine_wake(void)
{
    static const struct explorer_scenario scenario = {
        .begin = begin_wake,
        .threads = {finish_first, finish_second, loop},
        .end = end_all,
    };
    return explorer_run(&scenario);
}

/* ---- descriptors ---- */

static struct descriptors descriptors;
static int freed_bell;

static void on_freed(void *context)
{
    explorer_ring(context);
}

static void begin_descriptors(void *state)
{
    (void)state;
    descriptors = (struct descriptors){.limit = 1, .freed = on_freed, .context = &freed_bell};
    explorer_name(&descriptors.in_use, sizeof descriptors.in_use, "in_use");
    explorer_name(&descriptors.wanted, sizeof descriptors.wanted, "wanted");
    explorer_name(&freed_bell, 0, "the bell of what came free");
}

/* Gives its descriptor back as soon as it has one, and does not come again. */
static void take_if_there(void *state)
{
    (void)state;
    if (descriptors_take(&descriptors))
        descriptors_give_back(&descriptors);
}

static void take_in_the_end(void *state)
{
    (void)state;
    while (!descriptors_take(&descriptors))
        explorer_wait(&freed_bell);
    descriptors_give_back(&descriptors);
}

struct explorer_result explored_descriptors(void)
{
    static const struct explorer_scenario scenario = {
        .begin = begin_descriptors,
        .threads = {take_if_there, take_in_the_end},
        .end = end_all,
    };
    return explorer_run(&scenario);
}
