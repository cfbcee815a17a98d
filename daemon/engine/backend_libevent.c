/*
 * The backends on libevent: readiness is watched level-triggered, and operations are system calls whose results are
 * there at once, so nothing is ever in flight.
 *
 * Libevent has one timer, which makes it return when the engine's next one is due. It is moved only when that is
 * earlier than what it is set to: it may go off in vain, and that costs less than to move it each turn.
 */
#include "daemon/engine/backend_libevent.h"

#include "daemon/engine/backend.h"
#include "daemon/engine/epoll_set.h"
#include "daemon/engine/socket_calls.h"
#include "daemon/engine/socket_progress.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct libevent_engine {
    struct engine engine;
    struct event_base *base;
    struct event due_event;
    int64_t set_to; /* when it goes off; INT64_MAX: nobody knows when */
    int epoll_set;
    struct event set_event;
};

struct libevent_socket {
    struct engine_socket socket;
    struct event read_event;
    struct event write_event;
};

struct libevent_bell {
    struct engine_bell bell;
    struct event event;
};

/* Each is the first member of ours. */
static struct libevent_engine *engine_of(struct engine *engine)
{
    return (struct libevent_engine *)engine;
}

static struct libevent_socket *socket_of(struct engine_socket *socket)
{
    return (struct libevent_socket *)socket;
}

/* ---- the loop ---- */

static struct event_base *base_new(const char *wanted)
{
    static const char *const names[] = {"epoll", "select", "kqueue", "poll", "devpoll", "evport"};
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

static void on_due(evutil_socket_t fd, short what, void *argument)
{
    struct libevent_engine *engine = argument;
    (void)fd, (void)what;
    engine->set_to = INT64_MAX;
}

static void on_set(evutil_socket_t fd, short what, void *argument)
{
    (void)what, (void)argument;
    (void)epoll_set_report(fd); /* after an error it is readable still */
}

static int init(struct engine *core)
{
    /* Libevent takes memory for a timer that it does not have yet, and only then: so it has its one from the beginning,
     * and setting it cannot fail. */
    static const struct timeval day = {.tv_sec = (time_t)24 * 60 * 60};
    struct libevent_engine *engine = engine_of(core);
    engine->epoll_set = -1;
    engine->set_to = INT64_MAX;
    errno = 0;
    engine->base = base_new(core->backend->name);
    if (!engine->base)
        return errno ? -errno : -ENOSYS;
    event_assign(&engine->due_event, engine->base, -1, 0, on_due, engine);
    if (event_add(&engine->due_event, &day) != 0)
        return -ENOMEM;
    engine->epoll_set = epoll_set_open();
    if (engine->epoll_set < 0)
        return engine->epoll_set;
    event_assign(&engine->set_event, engine->base, engine->epoll_set, EV_READ | EV_PERSIST, on_set, NULL);
    return event_add(&engine->set_event, NULL) == 0 ? 0 : -ENOMEM;
}

static void deinit(struct engine *core)
{
    struct libevent_engine *engine = engine_of(core);
    if (engine->base && engine->epoll_set >= 0)
        event_del(&engine->set_event);
    if (engine->epoll_set >= 0)
        close(engine->epoll_set);
    if (engine->base)
        event_base_free(engine->base);
}

static void set_due_event(struct libevent_engine *engine, int64_t due)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = due - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    int64_t microseconds = left > 0 ? left / 1000 + 1 : 0;
    struct timeval interval = {
        .tv_sec = (time_t)(microseconds / 1000000),
        .tv_usec = (suseconds_t)(microseconds % 1000000),
    };
    event_add(&engine->due_event, &interval);
    engine->set_to = due;
}

static int wait_for_events(struct engine *core, int64_t due)
{
    struct libevent_engine *engine = engine_of(core);
    int flags = due == 0 ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE;
    if (due != 0 && due < engine->set_to)
        set_due_event(engine, due);
    if (event_base_loop(engine->base, flags) >= 0)
        return 0;
    return errno ? -errno : -EIO;
}

/* ---- sockets ---- */

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    engine_socket_is_readable(argument);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct engine_socket *socket = argument;
    (void)fd, (void)what;
    socket->watches_write = false; /* not EV_PERSIST */
    engine_socket_is_writable(socket);
}

static void socket_init(struct engine_socket *socket)
{
    struct libevent_socket *watched = socket_of(socket);
    struct event_base *base = engine_of(socket->engine)->base;
    event_assign(&watched->read_event, base, socket->fd, EV_READ | EV_PERSIST, on_readable, socket);
    event_assign(&watched->write_event, base, socket->fd, EV_WRITE, on_writable, socket);
}

static bool watch_read(struct engine_socket *socket)
{
    socket->watches_read = event_add(&socket_of(socket)->read_event, NULL) == 0;
    return socket->watches_read;
}

static void unwatch_read(struct engine_socket *socket)
{
    event_del(&socket_of(socket)->read_event);
    socket->watches_read = false;
}

static bool watch_write(struct engine_socket *socket)
{
    socket->watches_write = event_add(&socket_of(socket)->write_event, NULL) == 0;
    return socket->watches_write;
}

static void watch_break(struct engine_socket *socket)
{
    epoll_set_watch_break(engine_of(socket->engine)->epoll_set, socket);
}

static void socket_forget(struct engine_socket *socket)
{
    if (socket->watches_read)
        unwatch_read(socket);
    if (socket->watches_write)
        event_del(&socket_of(socket)->write_event);
}

/* ---- bells ---- */

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

/* Edge-triggered where the kernel can: each write to an eventfd is an edge, so it need not be read to be heard again.
 */
static int bell_init(struct engine_bell *bell)
{
    struct event_base *base = engine_of(bell->engine)->base;
    struct event *event = &((struct libevent_bell *)bell)->event;
    short edge = event_base_get_features(base) & EV_FEATURE_ET ? (short)EV_ET : 0;
    event_assign(event, base, bell->fd, (short)(EV_READ | EV_PERSIST | edge), on_bell, bell);
    return event_add(event, NULL) == 0 ? 0 : -ENOMEM;
}

static void bell_free(struct engine_bell *bell)
{
    event_del(&((struct libevent_bell *)bell)->event);
    close(bell->fd);
    free(bell);
}

#define BACKEND(method)                                                                                                \
    {                                                                                                                  \
        .name = (method), .engine_size = sizeof(struct libevent_engine),                                               \
        .socket_size = sizeof(struct libevent_socket), .bell_size = sizeof(struct libevent_bell), .init = init,        \
        .deinit = deinit, .wait = wait_for_events, .socket_init = socket_init, .socket_forget = socket_forget,         \
        .watch_read = watch_read, .unwatch_read = unwatch_read, .watch_write = watch_write,                            \
        .watch_break = watch_break, .receive = socket_calls_receive, .send = socket_calls_send,                        \
        .bell_init = bell_init, .bell_free = bell_free,                                                                \
    }

const struct engine_backend backend_libevent_epoll = BACKEND("epoll");
const struct engine_backend backend_libevent_select = BACKEND("select");
