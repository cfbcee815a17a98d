/*
 * How operations on sockets come about.
 *
 * An operation is not carried out where it is submitted or where readiness is reported, but when its time slice has its
 * turn: then the handler is asked for room or for bytes, and the backend carries the operation out, at once or later.
 *
 * The watch for reading stays in place as long as the socket is either drained or has a receive waiting, so that the
 * usual conversation (a request comes, is answered, the next one comes) costs one receive, one send and no change of
 * what is watched. It is taken away only when bytes are there that nobody has asked for, and what it told is remembered
 * in `readable`. A receive that got less than it had room for has drained the socket: what comes later will be reported
 * again, the end of the stream and errors included, because watches are level-triggered. (With an edge-triggered watch,
 * a reset that came together with the last bytes would be reported once and lost.)
 */
#include "daemon/engine/socket_progress.h"

#include "daemon/engine/engine_handlers.h"
#include "daemon/engine/socket_calls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- what is watched, and what is runnable ---- */

static void make_runnable(struct engine_socket *socket)
{
    engine_work_submit(&socket->work);
}

static void watch_read(struct engine_socket *socket)
{
    /* Fails only for want of memory or when the kernel's watch limit is reached. Then the operation is tried again
     * each turn: slow, but nothing is lost. */
    if (!socket->watches_read && !socket->engine->backend->watch_read(socket)) {
        socket->readable = true;
        make_runnable(socket);
    }
}

static void unwatch_read(struct engine_socket *socket)
{
    if (socket->watches_read)
        socket->engine->backend->unwatch_read(socket);
}

static void watch_write(struct engine_socket *socket)
{
    if (!socket->watches_write && !socket->engine->backend->watch_write(socket)) {
        socket->writable = true;
        make_runnable(socket);
    }
}

void engine_socket_is_readable(struct engine_socket *socket)
{
    /* Reported before, and still waiting for the slice's time: not to be reported turn after turn. */
    bool waits = socket->readable && !list_is_empty(&socket->work.node);
    bool is_wanted =
        socket->inward == INWARD_RECV || socket->inward == INWARD_MESSAGE || socket->inward == INWARD_ACCEPT;
    socket->readable = true;
    if (waits || !is_wanted)
        unwatch_read(socket);
    else
        make_runnable(socket);
}

void engine_socket_is_writable(struct engine_socket *socket)
{
    socket->writable = true;
    make_runnable(socket);
}

void engine_socket_is_broken(struct engine_socket *socket)
{
    /* The system may report it until it is done with the socket. */
    if (socket->fd < 0)
        return;
    socket->broken = true;
    make_runnable(socket);
}

void engine_socket_start_inward(struct engine_socket *socket, enum engine_inward operation)
{
    assert(socket->fd >= 0 && (socket->inward == INWARD_NONE || socket->inward == INWARD_RECV_HELD ||
                               socket->inward == INWARD_MESSAGE_HELD));
    socket->inward = (uint8_t)operation;
    if (socket->readable)
        make_runnable(socket);
    else
        watch_read(socket);
}

void engine_socket_start_outward(struct engine_socket *socket, enum engine_outward operation)
{
    assert(socket->fd >= 0 && socket->outward == OUTWARD_NONE);
    socket->outward = (uint8_t)operation;
    if (socket->writable)
        make_runnable(socket);
    else
        watch_write(socket);
}

/* ---- receiving and accepting ---- */

void engine_socket_push_back(struct engine_socket *socket, struct engine_pushed_back *bytes)
{
    assert(socket->fd >= 0 && socket->inward_progress == PROGRESS_NONE);
    bytes->next = socket->pushed_back;
    socket->pushed_back = bytes;
    socket->readable = true;
    if (socket->inward == INWARD_RECV)
        make_runnable(socket);
}

static void drop_pushed_back(struct engine_socket *socket)
{
    struct engine_pushed_back *bytes = socket->pushed_back;
    socket->pushed_back = bytes->next;
    free(bytes);
}

/* The socket stays readable: behind these bytes are others, or it is worth a try. */
static void receive_pushed_back(struct engine_socket *socket, uint8_t *room, size_t size)
{
    struct engine_pushed_back *bytes = socket->pushed_back;
    size_t left = bytes->size - bytes->taken;
    size_t count = left < size ? left : size;
    memcpy(room, bytes->bytes + bytes->taken, count);
    bytes->taken += count;
    if (bytes->taken == bytes->size)
        drop_pushed_back(socket);
    socket->inward = INWARD_NONE;
    socket->handlers->received(socket->owner, (ssize_t)count);
}

/* There was nothing to receive after all: the handler has its room back, and is asked again when something comes. */
static void wait_to_receive(struct engine_socket *socket)
{
    if (socket->handlers->room_unused)
        socket->handlers->room_unused(socket->owner);
    socket->readable = false;
    watch_read(socket);
}

static void finish_recv(struct engine_socket *socket, ssize_t result)
{
    socket->inward_progress = PROGRESS_NONE;
    if (result == -EAGAIN) {
        wait_to_receive(socket);
        return;
    }
    socket->inward = INWARD_NONE;
    if (result > 0)
        socket->engine->moved += (size_t)result;
    /* The end and errors stay readable: the next receive is told again. */
    socket->readable = result <= 0 || (size_t)result == socket->room_size;
    if (!socket->readable)
        watch_read(socket);
    socket->handlers->received(socket->owner, result);
}

static void perform_recv(struct engine_socket *socket)
{
    size_t size = 0;
    uint8_t *room = socket->handlers->receive_buffer(socket->owner, &size);
    if (socket->fd < 0)
        return;
    if (!room) {
        socket->inward = INWARD_RECV_HELD;
        unwatch_read(socket);
        return;
    }
    if (socket->pushed_back) {
        receive_pushed_back(socket, room, size);
        return;
    }
    socket->room_size = size;
    ssize_t result = socket->engine->backend->receive(socket, room, size);
    if (result == ENGINE_IN_FLIGHT)
        socket->inward_progress = PROGRESS_IN_FLIGHT;
    else
        finish_recv(socket, result);
}

static void finish_message(struct engine_socket *socket, ssize_t result)
{
    if (result == -EAGAIN) {
        wait_to_receive(socket);
        return;
    }
    socket->inward = INWARD_NONE;
    if (result > 0)
        socket->engine->moved += (size_t)result;
    socket->handlers->message_received(socket->owner, result);
}

static void perform_message(struct engine_socket *socket)
{
    struct engine_message *message = socket->handlers->message_room(socket->owner);
    if (socket->fd < 0)
        return;
    if (!message) {
        socket->inward = INWARD_MESSAGE_HELD;
        unwatch_read(socket);
        return;
    }
    finish_message(socket, socket_calls_receive_message(socket, message));
}

static void finish_accept(struct engine_socket *socket, ssize_t result, const struct sockaddr_storage *peer)
{
    /* Per accept(2), errors of the connection that was waiting are reported here too: that connection is gone, the
     * listener is fine. */
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
    socket->inward = INWARD_NONE;
    socket->handlers->accepted(socket->owner, (int)result, peer);
}

static void perform_accept(struct engine_socket *socket)
{
    struct sockaddr_storage peer;
    finish_accept(socket, socket_calls_accept(socket, &peer), &peer);
}

/* ---- sending and connecting ---- */

static void finish_send(struct engine_socket *socket, ssize_t result)
{
    socket->outward_progress = PROGRESS_NONE;
    if (result == -EAGAIN) {
        socket->writable = false;
        watch_write(socket);
        if (socket->handlers->bytes_unused) /* last, for it may withdraw the send or close the socket */
            socket->handlers->bytes_unused(socket->owner);
        return;
    }
    socket->outward = OUTWARD_NONE;
    if (result > 0)
        socket->engine->moved += (size_t)result;
    socket->handlers->sent(socket->owner, result);
}

static void perform_send(struct engine_socket *socket)
{
    const struct engine_handlers *handlers = socket->handlers;
    struct iovec vectors[ENGINE_VECTORS_PER_SEND];
    struct engine_send send = {.vectors = vectors};
    send.count = handlers->send_vectors(socket->owner, vectors, ENGINE_VECTORS_PER_SEND);
    if (socket->fd < 0)
        return;
    if (handlers->send_descriptors)
        send.descriptor_count = handlers->send_descriptors(socket->owner, &send.descriptors);
    ssize_t result = socket->engine->backend->send(socket, &send);
    if (result == ENGINE_IN_FLIGHT)
        socket->outward_progress = PROGRESS_IN_FLIGHT;
    else
        finish_send(socket, result);
}

static void finish_messages(struct engine_socket *socket, ssize_t result)
{
    if (result == -EAGAIN) {
        socket->writable = false;
        watch_write(socket);
        return;
    }
    socket->outward = OUTWARD_NONE;
    socket->handlers->messages_sent(socket->owner, (int)result);
}

static void perform_messages(struct engine_socket *socket)
{
    struct engine_message *messages[ENGINE_MESSAGES_PER_SEND];
    int count = socket->handlers->messages(socket->owner, messages);
    if (socket->fd < 0)
        return;
    finish_messages(socket, socket_calls_send_messages(socket, messages, count));
}

static int pending_error(struct engine_socket *socket)
{
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? -error : -errno;
}

static void perform_connect(struct engine_socket *socket)
{
    int result = socket->connect_result;
    if (result == -EINPROGRESS)
        result = pending_error(socket);
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

/* ---- having its turn ---- */

static void serve_outward(struct engine_socket *socket)
{
    if (socket->outward_progress == PROGRESS_DONE)
        finish_send(socket, socket->outward_result);
    else if (socket->outward_progress == PROGRESS_IN_FLIGHT || !socket->writable)
        return;
    else if (socket->outward == OUTWARD_SEND)
        perform_send(socket);
    else if (socket->outward == OUTWARD_MESSAGES)
        perform_messages(socket);
    else if (socket->outward == OUTWARD_CONNECT)
        perform_connect(socket);
}

static void serve_inward(struct engine_socket *socket)
{
    if (socket->inward_progress == PROGRESS_DONE)
        finish_recv(socket, socket->inward_result);
    else if (socket->inward_progress == PROGRESS_IN_FLIGHT || !socket->readable)
        return;
    else if (socket->inward == INWARD_RECV)
        perform_recv(socket);
    else if (socket->inward == INWARD_MESSAGE)
        perform_message(socket);
    else if (socket->inward == INWARD_ACCEPT)
        perform_accept(socket);
}

void engine_socket_serve(struct engine_work *work)
{
    struct engine_socket *socket = list_entry(work, struct engine_socket, work);
    serve_outward(socket);
    if (socket->fd >= 0 && socket->broken)
        perform_break(socket);
    if (socket->fd >= 0)
        serve_inward(socket);
}

/* ---- what was in flight ---- */

void engine_socket_inward_done(struct engine_socket *socket, ssize_t result)
{
    if (socket->fd >= 0) {
        socket->inward_progress = PROGRESS_DONE;
        socket->inward_result = result;
        make_runnable(socket);
    }
    engine_socket_landed(socket);
}

void engine_socket_outward_done(struct engine_socket *socket, ssize_t result)
{
    if (socket->fd >= 0) {
        socket->outward_progress = PROGRESS_DONE;
        socket->outward_result = result;
        make_runnable(socket);
    }
    engine_socket_landed(socket);
}

void engine_socket_landed(struct engine_socket *socket)
{
    socket->in_flight--;
    if (socket->fd >= 0 || socket->in_flight > 0)
        return;
    socket->engine->closed_but_in_flight--;
    list_append(&socket->engine->closing, &socket->work.node);
}

/* ---- closing ---- */

void engine_socket_begin_closing(struct engine_socket *socket)
{
    engine_work_cancel(&socket->work);
    if (socket->in_flight > 0)
        socket->engine->closed_but_in_flight++;
    else
        list_append(&socket->engine->closing, &socket->work.node);
}

void engine_socket_free_closed(struct engine *engine)
{
    struct list *node;
    while ((node = list_take_first(&engine->closing))) {
        struct engine_socket *socket = list_entry(node, struct engine_socket, work.node);
        void (*closed)(void *) = socket->handlers->closed;
        void *owner = socket->owner;
        while (socket->pushed_back)
            drop_pushed_back(socket);
        free(socket);
        closed(owner);
    }
}
