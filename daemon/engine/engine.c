/*
 * The engine's turn.
 *
 * In a turn the backend takes note of what has happened, the time slices do what they have to, round after round, and
 * then the deferred work is done: so all that one turn produces for a session leaves in one send, or with one ring of
 * its bell.
 */
#include "daemon/engine/engine.h"

#include "daemon/engine/backend_io_uring.h"
#include "daemon/engine/backend_libevent.h"
#include "daemon/engine/socket_progress.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    GLANCES = 3, /* for new events within a turn */
    FLUSHES_AT_LAST = 100,
    FEW = 16 * 1024, /* bytes: a turn that has moved more takes no glance */
};

static const struct engine_backend *const backends[] = {
    [ENGINE_EPOLL] = &backend_libevent_epoll,
    [ENGINE_SELECT] = &backend_libevent_select,
    [ENGINE_IO_URING] = &backend_io_uring,
};

int engine_method_probe(enum engine_method method)
{
    return method == ENGINE_IO_URING ? backend_io_uring_probe() : 0;
}

const char *engine_method_name(enum engine_method method)
{
    return backends[method]->name;
}

bool engine_holds_memory(const struct engine *engine)
{
    return engine->flush != NULL;
}

struct engine *engine_new(enum engine_method method, void (*woken)(void *context), void *context)
{
    const struct engine_backend *backend = backends[method];
    struct engine *engine = calloc(1, backend->engine_size);
    if (!engine)
        return NULL;
    engine->backend = backend;
    engine->flush = backend->flush;
    list_init(&engine->busy);
    list_init(&engine->deferred);
    list_init(&engine->closing);
    engine->woken = woken;
    engine->context = context;
    engine->wake_fd = -1;
    int r = backend->init(engine);
    if (r == 0)
        r = engine_wake_init(engine);
    if (r == 0)
        return engine;
    engine_free(engine);
    errno = -r;
    return NULL;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    engine_free_closed(engine);
    assert(list_is_empty(&engine->busy) && !engine->timers);
    engine_wake_deinit(engine);
    engine->backend->deinit(engine);
    free(engine);
}

void engine_free_closed(struct engine *engine)
{
    engine_socket_free_closed(engine);
    /* What is in flight lands soon, for no operation waits, and watches are cancelled. */
    for (int i = 0; i < FLUSHES_AT_LAST && engine->closed_but_in_flight > 0; i++) {
        engine->flush(engine);
        engine_socket_free_closed(engine);
    }
}

/* Lets the backend report what has happened, and timers fire; 0 or -errno. */
static int take_events(struct engine *engine, bool waits)
{
    int r = engine->backend->wait(engine, waits ? engine_timer_next_due(engine) : 0);
    engine_timer_fire_due(engine);
    return r;
}

static int turn(struct engine *engine)
{
    engine->turn++;
    int r = take_events(engine, list_is_empty(&engine->busy) && list_is_empty(&engine->deferred));
    time_slice_serve_all(engine);
    /* Deferred work wakes clients, which costs both sides: it is cheaper for more at once, so look first whether there
     * is more. What takes long by itself, because it is a lot of bytes, is not made to wait. */
    for (int glance = 0; glance < GLANCES && engine->moved < FEW && !list_is_empty(&engine->deferred) && r == 0;
         glance++) {
        r = take_events(engine, false);
        if (list_is_empty(&engine->busy))
            break;
        time_slice_serve_all(engine);
    }
    engine->moved = 0;
    /* What was closed is closed for the system before anybody is told. */
    if (engine->flush)
        engine->flush(engine);
    engine_deferred_run_all(engine);
    engine_socket_free_closed(engine);
    return r;
}

int engine_run(struct engine *engine)
{
    int r = 0;
    while (r == 0 && (!engine->stopped || engine->closed_but_in_flight > 0))
        r = turn(engine);
    engine->stopped = false;
    return r;
}

void engine_stop(struct engine *engine)
{
    engine->stopped = true;
}
