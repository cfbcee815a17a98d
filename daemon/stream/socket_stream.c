#include "daemon/stream/socket_stream.h"

#include <errno.h>

static struct engine_socket *engine_socket_of(struct stream *stream)
{
    return ((struct socket_stream *)stream)->socket; /* whose first member it is */
}

/* ---- what the owner asks for ---- */

static void receive(struct stream *stream)
{
    engine_recv(engine_socket_of(stream));
}

static void receive_retry(struct stream *stream)
{
    engine_recv_retry(engine_socket_of(stream));
}

static bool receive_withdraw(struct stream *stream)
{
    return engine_recv_withdraw(engine_socket_of(stream));
}

static int push_back(struct stream *stream, const void *bytes, size_t size)
{
    return engine_push_back(engine_socket_of(stream), bytes, size);
}

static void send_bytes(struct stream *stream)
{
    engine_send(engine_socket_of(stream));
}

static void send_withdraw(struct stream *stream)
{
    engine_send_withdraw(engine_socket_of(stream));
}

static int shut_down(struct stream *stream)
{
    return engine_socket_shut_down(engine_socket_of(stream), SHUT_WR);
}

static bool holds(const struct stream *stream)
{
    (void)stream;
    return false;
}

static void watch_break(struct stream *stream)
{
    engine_watch_break(engine_socket_of(stream));
}

static void close_socket(struct stream *stream, enum stream_end end)
{
    if (end == STREAM_END_RESET)
        engine_socket_reset(engine_socket_of(stream));
    else
        engine_socket_close(engine_socket_of(stream));
}

static const struct stream_kind socket_kind = {
    .receive = receive,
    .receive_retry = receive_retry,
    .receive_withdraw = receive_withdraw,
    .push_back = push_back,
    .send = send_bytes,
    .send_withdraw = send_withdraw,
    .shut_down = shut_down,
    .holds = holds,
    .watch_break = watch_break,
    .close = close_socket,
};

/* ---- what the engine tells ---- */

static void on_connected(void *owner, int result)
{
    struct stream *stream = owner;
    stream->user->opened(stream->owner, result);
}

static uint8_t *on_receive_buffer(void *owner, size_t *size)
{
    struct stream *stream = owner;
    return stream->user->room(stream->owner, size);
}

static void on_received(void *owner, ssize_t result)
{
    struct stream *stream = owner;
    stream->user->received(stream->owner, result);
}

static void on_room_unused(void *owner)
{
    struct stream *stream = owner;
    stream->user->room_unused(stream->owner);
}

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    struct stream *stream = owner;
    return stream->user->vectors(stream->owner, vectors, max);
}

static void on_sent(void *owner, ssize_t result)
{
    struct stream *stream = owner;
    stream->user->sent(stream->owner, result);
}

static void on_bytes_unused(void *owner)
{
    struct stream *stream = owner;
    stream->user->bytes_unused(stream->owner);
}

static void on_broke(void *owner, int os_error)
{
    struct stream *stream = owner;
    stream->user->broke(stream->owner, os_error);
}

static void on_closed(void *owner)
{
    struct stream *stream = owner;
    stream->user->closed(stream->owner);
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .room_unused = on_room_unused,
    .send_vectors = on_send_vectors,
    .sent = on_sent,
    .bytes_unused = on_bytes_unused,
    .connected = on_connected,
    .broke = on_broke,
    .closed = on_closed,
};

/* ---- making it ---- */

int socket_stream_init(struct socket_stream *socket, struct time_slice *slice, int fd, const struct stream_user *user,
                       void *owner)
{
    socket->stream = (struct stream){.kind = &socket_kind, .user = user, .owner = owner};
    socket->socket = engine_socket_new(slice, fd, &handlers, &socket->stream);
    return socket->socket ? 0 : -ENOMEM;
}

void socket_stream_connect(struct socket_stream *socket, const struct sockaddr *address, socklen_t length)
{
    engine_connect(socket->socket, address, length);
}
