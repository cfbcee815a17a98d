/*
 * The engine on libevent: completions made from readiness.
 *
 * Operations are not carried out where they are submitted or where readiness is reported, but when the turn's events
 * have all been seen: sockets with something to do queue up in their shares and are served one operation each, round
 * after round (engine_share.c). So all that one turn produces for a session leaves in one send, or with one ring
 * of its bell.
 */
#include "daemon/engine/engine_libevent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    GLANCES = 3,     /* for new events within a turn */
    FEW = 16 * 1024, /* bytes: a turn that has moved more takes no glance */
};

struct engine_bell {
    struct event event;
    int fd;
    void (*rung)(void *owner);
    void *owner;
};

struct engine_timer {
    struct event event;
    bool set;
    void (*fired)(void *owner);
    void *owner;
};

void engine_free_closed(struct engine *engine)
{
    struct list *node;
    while ((node = list_take_first(&engine->closing)))
        engine_socket_free(node);
}

/* Those that are deferred meanwhile belong to the next turn. */
static void run_tasks(struct engine *engine)
{
    struct list batch;
    struct list *node;
    list_init(&batch);
    list_splice(&batch, &engine->tasks);
    while ((node = list_take_first(&batch))) {
        struct engine_deferred *task = list_entry(node, struct engine_deferred, node);
        task->run(task);
    }
}

/* ---- the loop ---- */

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    struct engine *engine = argument;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0) {
        /* EAGAIN: somebody's wake was already taken. */
    }
    /* An exchange and not a store: it reads what the last engine_wake() has written, and with that acquires all that
     * its thread has done before. After a store, what `woken` loads might be older than that (processors delay stores
     * behind loads), while that engine_wake() has seen a wake that is pending and has written nothing: then it would be
     * lost. */
    atomic_exchange(&engine->wake_pending, false);
    engine->woken(engine->context);
}

static void on_signal(evutil_socket_t signal, short what, void *argument)
{
    struct engine *engine = argument;
    (void)what;
    engine->caught(engine->context, (int)signal);
}

static struct event_base *base_new(enum engine_method method)
{
    static const char *const names[] = {"epoll", "select", "kqueue", "poll", "devpoll", "evport"};
    const char *wanted = method == ENGINE_SELECT ? "select" : "epoll";
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], wanted) != 0)
            event_config_avoid_method(config, names[i]);
    }
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct engine *engine_new(enum engine_method method, void (*woken)(void *context), void *context)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    list_init(&engine->busy);
    list_init(&engine->tasks);
    list_init(&engine->closing);
    engine->woken = woken;
    engine->context = context;
    engine->break_fd = -1;
    engine->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->wake_fd < 0)
        goto failed;
    errno = 0;
    engine->base = base_new(method);
    if (!engine->base)
        goto failed;
    engine->wake_event = event_new(engine->base, engine->wake_fd, EV_READ | EV_PERSIST, on_wake, engine);
    if (!engine->wake_event || event_add(engine->wake_event, NULL) != 0)
        goto failed;
    int r = engine_break_init(engine);
    if (r < 0) {
        errno = -r;
        goto failed;
    }
    return engine;

failed:;
    int error = errno ? errno : ENOSYS;
    engine_free(engine);
    errno = error;
    return NULL;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    engine_free_closed(engine);
    assert(list_is_empty(&engine->busy));
    for (size_t i = 0; i < engine->signal_count; i++)
        event_free(engine->signal_events[i]);
    engine_break_deinit(engine);
    if (engine->wake_event)
        event_free(engine->wake_event);
    if (engine->base)
        event_base_free(engine->base);
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    free(engine);
}

/* Lets libevent report what has happened; 0 or -errno. */
static int take_events(struct engine *engine, int flags)
{
    if (event_base_loop(engine->base, EVLOOP_ONCE | flags) >= 0)
        return 0;
    return errno ? -errno : -EIO;
}

static int turn(struct engine *engine)
{
    engine->turn++;
    bool idle = list_is_empty(&engine->busy) && list_is_empty(&engine->tasks);
    int r = take_events(engine, idle ? 0 : EVLOOP_NONBLOCK);
    engine_serve_shares(engine);
    /* Tasks wake clients, which costs both sides: it is cheaper for more at once, so look first whether there is more.
     * What takes long by itself, because it is a lot of bytes, is not made to wait. */
    for (int glance = 0; glance < GLANCES && engine->moved < FEW && !list_is_empty(&engine->tasks) && r == 0;
         glance++) {
        r = take_events(engine, EVLOOP_NONBLOCK);
        if (list_is_empty(&engine->busy))
            break;
        engine_serve_shares(engine);
    }
    engine->moved = 0;
    run_tasks(engine);
    engine_free_closed(engine);
    return r;
}

int engine_run(struct engine *engine)
{
    int r = 0;
    while (r == 0 && !engine->stopped)
        r = turn(engine);
    return r;
}

void engine_stop(struct engine *engine)
{
    engine->stopped = true;
}

void engine_wake(struct engine *engine)
{
    if (atomic_exchange(&engine->wake_pending, true))
        return;
    uint64_t one = 1;
    /* Cannot fail: the counter never comes near its maximum. */
    ssize_t written = write(engine->wake_fd, &one, sizeof one);
    assert(written == sizeof one);
    (void)written;
}

int engine_catch_signal(struct engine *engine, int signal, void (*caught)(void *context, int signal))
{
    assert(engine->signal_count < ENGINE_SIGNALS_MAX);
    engine->caught = caught;
    struct event *event = evsignal_new(engine->base, signal, on_signal, engine);
    if (!event)
        return -ENOMEM;
    if (evsignal_add(event, NULL) != 0) {
        event_free(event);
        return errno ? -errno : -EIO;
    }
    engine->signal_events[engine->signal_count++] = event;
    return 0;
}

/* ---- tasks and bells ---- */

void engine_defer(struct engine *engine, struct engine_deferred *task)
{
    if (list_is_empty(&task->node))
        list_append(&engine->tasks, &task->node);
}

void engine_deferred_cancel(struct engine_deferred *task)
{
    list_remove(&task->node);
}

/* Edge-triggered where the kernel can: each write to an eventfd is an edge, so it need not be read to be heard again.
 */
static bool has_edges(const struct engine *engine)
{
    return event_base_get_features(engine->base) & EV_FEATURE_ET;
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct engine_bell *bell = argument;
    uint64_t count;
    struct iovec vector = {.iov_base = &count, .iov_len = sizeof count};
    /* Not with read(2), which the other side could make block: it shares the open file, and may have emptied it. */
    if (!(what & EV_ET) && preadv2(fd, &vector, 1, -1, RWF_NOWAIT) < 0) {
        /* EAGAIN: then that is its own loss. */
    }
    bell->rung(bell->owner);
}

struct engine_bell *engine_bell_new(struct engine *engine, int fd, void (*rung)(void *owner), void *owner)
{
    struct engine_bell *bell = malloc(sizeof *bell);
    if (!bell)
        return NULL;
    *bell = (struct engine_bell){.fd = fd, .rung = rung, .owner = owner};
    short edge = has_edges(engine) ? (short)EV_ET : 0;
    event_assign(&bell->event, engine->base, fd, (short)(EV_READ | EV_PERSIST | edge), on_bell, bell);
    if (event_add(&bell->event, NULL) != 0) {
        free(bell);
        return NULL;
    }
    return bell;
}

void engine_bell_free(struct engine_bell *bell)
{
    if (!bell)
        return;
    event_del(&bell->event);
    close(bell->fd);
    free(bell);
}

/* ---- timers ---- */

/* Libevent takes memory for a timer that it does not have yet, and only then: so it has all of them, always, and
 * setting one cannot fail. Those that are not set go off in vain, once a day. */
static int park(struct engine_timer *timer)
{
    static const struct timeval day = {.tv_sec = (time_t)24 * 60 * 60};
    timer->set = false;
    return event_add(&timer->event, &day);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct engine_timer *timer = argument;
    (void)fd, (void)what;
    bool was_set = timer->set;
    park(timer); /* at once, before another timer takes its place */
    if (was_set)
        timer->fired(timer->owner);
}

struct engine_timer *engine_timer_new(struct engine *engine, void (*fired)(void *owner), void *owner)
{
    struct engine_timer *timer = malloc(sizeof *timer);
    if (!timer)
        return NULL;
    timer->fired = fired;
    timer->owner = owner;
    event_assign(&timer->event, engine->base, -1, 0, on_timer, timer);
    if (park(timer) != 0) {
        free(timer);
        return NULL;
    }
    return timer;
}

void engine_timer_set(struct engine_timer *timer, uint64_t milliseconds)
{
    struct timeval interval = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000),
    };
    timer->set = true;
    event_add(&timer->event, &interval);
}

void engine_timer_cancel(struct engine_timer *timer)
{
    park(timer);
}

void engine_timer_free(struct engine_timer *timer)
{
    if (!timer)
        return;
    event_del(&timer->event);
    free(timer);
}
