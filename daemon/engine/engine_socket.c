/*
 * The sockets of the engine on libevent: what is watched, and how operations are carried out.
 *
 * Readiness is watched level-triggered. The watch for reading stays in place as long as the socket is either drained
 * or has a receive waiting, so that the usual conversation (a request comes, is answered, the next one comes) costs
 * one recv, one send and no epoll_ctl. It is taken away only when bytes are there that nobody has asked for, and
 * what it told is remembered in `readable`. A receive that got less than it had room for has drained the socket:
 * what comes later will be reported again, the end of the stream and errors included, because the watch is
 * level-triggered. (Edge-triggered, a reset that came together with the last bytes would be reported once and lost.)
 */
#include "daemon/engine/engine_libevent.h"
#include "daemon/engine/fd_message.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VECTORS_PER_SEND = 64 };

enum inward { INWARD_NONE, INWARD_RECV, INWARD_RECV_HELD, INWARD_ACCEPT };
enum outward { OUTWARD_NONE, OUTWARD_SEND, OUTWARD_CONNECT };

/* ---- sockets: what is watched, and what is runnable ---- */

static void make_runnable(struct engine_socket *socket)
{
    engine_submit(&socket->job);
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
    /* Reported before, and still waiting for the share's time: not to be reported turn after turn. */
    bool waits = socket->readable && !list_is_empty(&socket->job.node);
    bool is_wanted = socket->inward == INWARD_RECV || socket->inward == INWARD_ACCEPT;
    socket->readable = true;
    if (waits || !is_wanted)
        unwatch_read(socket);
    else
        make_runnable(socket);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct engine_socket *socket = argument;
    (void)fd, (void)what;
    socket->watches_write = false; /* not EV_PERSIST */
    socket->writable = true;
    make_runnable(socket);
}

static void serve(struct engine_work *job);

struct engine_socket *engine_socket_new(struct time_slice *share, int fd, const struct engine_handlers *handlers,
                                        void *owner)
{
    struct engine_socket *socket = malloc(sizeof *socket);
    if (!socket)
        return NULL;
    *socket = (struct engine_socket){
        .job = {.run = serve, .share = share},
        .engine = share->engine,
        .handlers = handlers,
        .owner = owner,
        .fd = fd,
        .writable = true,
    };
    list_init(&socket->job.node);
    event_assign(&socket->read_event, share->engine->base, fd, EV_READ | EV_PERSIST, on_readable, socket);
    event_assign(&socket->write_event, share->engine->base, fd, EV_WRITE, on_writable, socket);
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
    engine_work_cancel(&socket->job);
    list_append(&socket->engine->closing, &socket->job.node);
}

void engine_socket_reset(struct engine_socket *socket)
{
    /* socket(7): a close that lingers for no time at all. It fails for no socket that is connected or connecting. */
    static const struct linger none = {.l_onoff = 1};
    setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    engine_socket_close(socket);
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

static ssize_t send_with_descriptors(const struct engine_socket *socket, struct iovec *vectors, int count)
{
    const int *descriptors;
    int descriptor_count = socket->handlers->send_descriptors(socket->owner, &descriptors);
    union fd_message_control control;
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    if (descriptor_count > 0)
        fd_message_attach(&message, &control, descriptors, descriptor_count);
    return sendmsg(socket->fd, &message, MSG_NOSIGNAL);
}

static void perform_send(struct engine_socket *socket)
{
    struct iovec vectors[VECTORS_PER_SEND];
    int count = socket->handlers->send_vectors(socket->owner, vectors, VECTORS_PER_SEND);
    if (socket->fd < 0)
        return;
    ssize_t result;
    do
        result = socket->handlers->send_descriptors ? send_with_descriptors(socket, vectors, count)
                                                    : send_some(socket->fd, vectors, count);
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

static void perform_break(struct engine_socket *socket)
{
    int error = 0;
    socklen_t length = sizeof error;
    socket->broken = false;
    getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) /* otherwise both ends have closed in order */
        socket->handlers->broke(socket->owner, error);
}

/* Carries out one operation in each direction, where there is one to carry out. */
static void serve(struct engine_work *job)
{
    struct engine_socket *socket = list_entry(job, struct engine_socket, job);
    if (socket->writable) {
        if (socket->outward == OUTWARD_SEND)
            perform_send(socket);
        else if (socket->outward == OUTWARD_CONNECT)
            perform_connect(socket);
    }
    if (socket->fd >= 0 && socket->broken)
        perform_break(socket);
    if (socket->fd >= 0 && socket->readable) {
        if (socket->inward == INWARD_RECV)
            perform_recv(socket);
        else if (socket->inward == INWARD_ACCEPT)
            perform_accept(socket);
    }
}

void engine_socket_free(struct list *node)
{
    struct engine_socket *socket = list_entry(node, struct engine_socket, job.node);
    void (*closed)(void *) = socket->handlers->closed;
    void *owner = socket->owner;
    free(socket);
    closed(owner);
}
