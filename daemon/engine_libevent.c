/*
 * The engine on libevent: completions made from readiness.
 *
 * Readiness is watched level-triggered. The watch for reading stays in place as long as the socket is either drained
 * or has a receive waiting, so that the usual conversation (a request comes, is answered, the next one comes) costs
 * one recv, one send and no epoll_ctl. It is taken away only when bytes are there that nobody has asked for, and
 * what it told is remembered in `readable`. A receive that got less than it had room for has drained the socket:
 * what comes later will be reported again, the end of the stream and errors included, because the watch is
 * level-triggered. (Edge-triggered, a reset that came together with the last bytes would be reported once and lost.)
 *
 * Operations are not carried out where they are submitted or where readiness is reported, but when the turn's events
 * have all been seen: sockets with something to do queue up in `runnable` and are served one operation each, round
 * after round. So everything that one turn produces for a session leaves in one send.
 */
#include "daemon/engine.h"

#include "daemon/list.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ROUNDS = 8,  /* of serving, then the loop looks for new events */
    GLANCES = 3, /* for new events within a turn */
    FEW = 16 * 1024,
    VECTORS_PER_SEND = 64,
    SIGNALS_MAX = 8,
};

struct engine {
    struct event_base *base;
    struct list runnable;
    struct list tasks;
    struct list closing;
    size_t moved; /* bytes, in this turn */
    bool stopped;

    int wake_fd;
    struct event *wake_event;
    atomic_bool wake_pending;
    void (*woken)(void *context);
    void *context;

    struct event *signal_events[SIGNALS_MAX];
    size_t signal_count;
    void (*caught)(void *context, int signal);
};

enum inward { INWARD_NONE, INWARD_RECV, INWARD_RECV_HELD, INWARD_ACCEPT };
enum outward { OUTWARD_NONE, OUTWARD_SEND, OUTWARD_CONNECT };

struct engine_socket {
    struct list node; /* in runnable or closing, or in none */
    struct engine *engine;
    const struct engine_handlers *handlers;
    void *owner;
    int fd;
    int connect_result; /* what connect() said: -EINPROGRESS if the outcome came later */
    uint8_t inward;
    uint8_t outward;
    bool readable; /* a receive or accept is worth a try */
    bool writable; /* a send is worth a try, or a connect has ended */
    bool watches_read;
    bool watches_write;
    struct event read_event;
    struct event write_event;
};

struct engine_bell {
    struct event event;
    int fd;
    void (*rung)(void *owner);
    void *owner;
};

struct engine_timer {
    struct event event;
    void (*fired)(void *owner);
    void *owner;
};

/* ---- sockets: what is watched, and what is runnable ---- */

static void make_runnable(struct engine_socket *socket)
{
    if (list_is_empty(&socket->node))
        list_append(&socket->engine->runnable, &socket->node);
}

static void watch_read(struct engine_socket *socket)
{
    if (socket->watches_read)
        return;
    /* Fails only for want of memory or when the kernel's watch limit is reached. Then the operation is tried again
     * each turn: slow, but nothing is lost. */
    if (event_add(&socket->read_event, NULL) == 0) {
        socket->watches_read = true;
    } else {
        socket->readable = true;
        make_runnable(socket);
    }
}

static void unwatch_read(struct engine_socket *socket)
{
    if (socket->watches_read)
        event_del(&socket->read_event);
    socket->watches_read = false;
}

static void watch_write(struct engine_socket *socket)
{
    if (socket->watches_write)
        return;
    if (event_add(&socket->write_event, NULL) == 0) {
        socket->watches_write = true;
    } else {
        socket->writable = true;
        make_runnable(socket);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct engine_socket *socket = argument;
    (void)fd, (void)what;
    socket->readable = true;
    if (socket->inward == INWARD_RECV || socket->inward == INWARD_ACCEPT)
        make_runnable(socket);
    else
        unwatch_read(socket);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct engine_socket *socket = argument;
    (void)fd, (void)what;
    socket->watches_write = false; /* not EV_PERSIST */
    socket->writable = true;
    make_runnable(socket);
}

struct engine_socket *engine_socket_new(struct engine *engine, int fd, const struct engine_handlers *handlers,
                                        void *owner)
{
    struct engine_socket *socket = malloc(sizeof *socket);
    if (!socket)
        return NULL;
    *socket = (struct engine_socket){
        .engine = engine,
        .handlers = handlers,
        .owner = owner,
        .fd = fd,
        .writable = true,
    };
    list_init(&socket->node);
    event_assign(&socket->read_event, engine->base, fd, EV_READ | EV_PERSIST, on_readable, socket);
    event_assign(&socket->write_event, engine->base, fd, EV_WRITE, on_writable, socket);
    return socket;
}

int engine_socket_fd(const struct engine_socket *socket)
{
    return socket->fd;
}

void engine_socket_close(struct engine_socket *socket)
{
    assert(socket->fd >= 0);
    unwatch_read(socket);
    if (socket->watches_write)
        event_del(&socket->write_event);
    close(socket->fd);
    socket->fd = -1;
    list_remove(&socket->node);
    list_append(&socket->engine->closing, &socket->node);
}

/* ---- operations ---- */

static void submit_inward(struct engine_socket *socket, enum inward operation)
{
    assert(socket->fd >= 0 && socket->inward == INWARD_NONE);
    socket->inward = (uint8_t)operation;
    if (socket->readable)
        make_runnable(socket);
    else
        watch_read(socket);
}

void engine_accept(struct engine_socket *socket)
{
    submit_inward(socket, INWARD_ACCEPT);
}

void engine_recv(struct engine_socket *socket)
{
    submit_inward(socket, INWARD_RECV);
}

void engine_recv_retry(struct engine_socket *socket)
{
    if (socket->inward != INWARD_RECV_HELD)
        return;
    socket->inward = INWARD_RECV;
    make_runnable(socket);
}

void engine_send(struct engine_socket *socket)
{
    assert(socket->fd >= 0 && socket->outward == OUTWARD_NONE);
    socket->outward = OUTWARD_SEND;
    if (socket->writable)
        make_runnable(socket);
    else
        watch_write(socket);
}

void engine_connect(struct engine_socket *socket, const struct sockaddr *address, socklen_t length)
{
    assert(socket->fd >= 0 && socket->outward == OUTWARD_NONE);
    socket->outward = OUTWARD_CONNECT;
    int result;
    do
        result = connect(socket->fd, address, length) == 0 ? 0 : -errno;
    while (result == -EINTR);
    socket->connect_result = result;
    socket->writable = result != -EINPROGRESS;
    if (socket->writable)
        make_runnable(socket);
    else
        watch_write(socket);
}

static void perform_recv(struct engine_socket *socket)
{
    size_t size = 0;
    uint8_t *buffer = socket->handlers->receive_buffer(socket->owner, &size);
    if (socket->fd < 0)
        return;
    if (!buffer) {
        socket->inward = INWARD_RECV_HELD;
        unwatch_read(socket);
        return;
    }
    ssize_t result;
    do
        result = recv(socket->fd, buffer, size, 0);
    while (result < 0 && errno == EINTR);
    if (result < 0) {
        result = -errno;
        if (result == -EAGAIN) {
            socket->readable = false;
            watch_read(socket);
            return;
        }
    }
    socket->inward = INWARD_NONE;
    if (result > 0)
        socket->engine->moved += (size_t)result;
    /* The end and errors stay readable: the next receive is told again. */
    socket->readable = result <= 0 || (size_t)result == size;
    if (!socket->readable)
        watch_read(socket);
    socket->handlers->received(socket->owner, result);
}

static void perform_accept(struct engine_socket *socket)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int result = accept4(socket->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (result < 0) {
        result = -errno;
        /* Per accept(2), errors of the connection that was waiting are reported here too: that connection is gone,
         * the listener is fine. */
        switch (-result) {
        case EAGAIN:
            socket->readable = false;
            watch_read(socket);
            return;
        case EINTR:
        case ECONNABORTED:
        case ENETDOWN:
        case EPROTO:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
            make_runnable(socket);
            return;
        default:
            break;
        }
    }
    socket->inward = INWARD_NONE;
    socket->handlers->accepted(socket->owner, result, &peer);
}

/* One piece, the usual case, goes without a message header, which the kernel would copy and check. */
static ssize_t send_some(int fd, struct iovec *vectors, int count)
{
    if (count == 1)
        return send(fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void perform_send(struct engine_socket *socket)
{
    struct iovec vectors[VECTORS_PER_SEND];
    int count = socket->handlers->send_vectors(socket->owner, vectors, VECTORS_PER_SEND);
    if (socket->fd < 0)
        return;
    ssize_t result;
    do
        result = send_some(socket->fd, vectors, count);
    while (result < 0 && errno == EINTR);
    if (result < 0) {
        result = -errno;
        if (result == -EAGAIN) {
            socket->writable = false;
            watch_write(socket);
            return;
        }
    }
    socket->outward = OUTWARD_NONE;
    if (result > 0)
        socket->engine->moved += (size_t)result;
    socket->handlers->sent(socket->owner, result);
}

static void perform_connect(struct engine_socket *socket)
{
    int result = socket->connect_result;
    if (result == -EINPROGRESS) {
        int error = 0;
        socklen_t length = sizeof error;
        result = getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? -error : -errno;
    }
    socket->outward = OUTWARD_NONE;
    socket->handlers->connected(socket->owner, result);
}

static void serve(struct engine_socket *socket)
{
    if (socket->writable) {
        if (socket->outward == OUTWARD_SEND)
            perform_send(socket);
        else if (socket->outward == OUTWARD_CONNECT)
            perform_connect(socket);
    }
    if (socket->fd >= 0 && socket->readable) {
        if (socket->inward == INWARD_RECV)
            perform_recv(socket);
        else if (socket->inward == INWARD_ACCEPT)
            perform_accept(socket);
    }
}

static void free_closed(struct engine *engine)
{
    struct list *node;
    while ((node = list_take_first(&engine->closing))) {
        struct engine_socket *socket = list_entry(node, struct engine_socket, node);
        void (*closed)(void *) = socket->handlers->closed;
        void *owner = socket->owner;
        free(socket);
        closed(owner);
    }
}

/* Those that are deferred meanwhile belong to the next turn. */
static void run_tasks(struct engine *engine)
{
    struct list batch;
    struct list *node;
    list_init(&batch);
    list_splice(&batch, &engine->tasks);
    while ((node = list_take_first(&batch))) {
        struct engine_task *task = list_entry(node, struct engine_task, node);
        task->run(task);
    }
}

static void serve_runnable(struct engine *engine)
{
    for (int round = 0; round < ROUNDS && !list_is_empty(&engine->runnable); round++) {
        struct list batch;
        list_init(&batch);
        list_splice(&batch, &engine->runnable);
        struct list *node;
        while ((node = list_take_first(&batch)))
            serve(list_entry(node, struct engine_socket, node));
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
    atomic_store(&engine->wake_pending, false);
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
    list_init(&engine->runnable);
    list_init(&engine->tasks);
    list_init(&engine->closing);
    engine->woken = woken;
    engine->context = context;
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
    free_closed(engine);
    assert(list_is_empty(&engine->runnable));
    for (size_t i = 0; i < engine->signal_count; i++)
        event_free(engine->signal_events[i]);
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
    bool idle = list_is_empty(&engine->runnable) && list_is_empty(&engine->tasks);
    int r = take_events(engine, idle ? 0 : EVLOOP_NONBLOCK);
    serve_runnable(engine);
    /* Tasks wake clients, which costs both sides: it is cheaper for more at once, so look first whether there is more.
     * What takes long by itself, because it is a lot of bytes, is not made to wait. */
    for (int glance = 0; glance < GLANCES && engine->moved < FEW && !list_is_empty(&engine->tasks) && r == 0; glance++) {
        r = take_events(engine, EVLOOP_NONBLOCK);
        if (list_is_empty(&engine->runnable))
            break;
        serve_runnable(engine);
    }
    engine->moved = 0;
    run_tasks(engine);
    free_closed(engine);
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
    assert(engine->signal_count < SIGNALS_MAX);
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

void engine_defer(struct engine *engine, struct engine_task *task)
{
    if (list_is_empty(&task->node))
        list_append(&engine->tasks, &task->node);
}

void engine_task_cancel(struct engine_task *task)
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

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct engine_timer *timer = argument;
    (void)fd, (void)what;
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
    return timer;
}

void engine_timer_set(struct engine_timer *timer, uint64_t milliseconds)
{
    struct timeval interval = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000),
    };
    event_add(&timer->event, &interval);
}

void engine_timer_cancel(struct engine_timer *timer)
{
    event_del(&timer->event);
}

void engine_timer_free(struct engine_timer *timer)
{
    if (!timer)
        return;
    event_del(&timer->event);
    free(timer);
}
