/*
 * System calls are tried again when a signal has interrupted them, but for accept4(2), after which the core tries
 * again.
 */
#include "daemon/engine/socket_calls.h"

#include "daemon/engine/engine_handlers.h"
#include "daemon/engine/fd_message.h"

#include <errno.h>

ssize_t socket_calls_receive(struct engine_socket *socket, uint8_t *room, size_t size)
{
    ssize_t result;
    do
        result = recv(socket->fd, room, size, 0);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

ssize_t socket_calls_accept(struct engine_socket *socket, struct sockaddr_storage *peer)
{
    socklen_t length = sizeof *peer;
    int fd = accept4(socket->fd, (struct sockaddr *)peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* One piece, the usual case, goes without a message header, which the kernel would copy and check. */
static ssize_t send_some(int fd, const struct engine_send *send_this)
{
    union fd_message_control control;
    if (send_this->count == 1 && send_this->descriptor_count == 0)
        return send(fd, send_this->vectors[0].iov_base, send_this->vectors[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = send_this->vectors, .msg_iovlen = (size_t)send_this->count};
    if (send_this->descriptor_count > 0)
        fd_message_attach(&message, &control, send_this->descriptors, send_this->descriptor_count);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t socket_calls_send(struct engine_socket *socket, const struct engine_send *send_this)
{
    ssize_t result;
    do
        result = send_some(socket->fd, send_this);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

static void fill_header(struct msghdr *header, struct engine_message *message)
{
    *header = (struct msghdr){
        .msg_name = message->address_length > 0 ? &message->address : NULL,
        .msg_namelen = message->address_length,
        .msg_iov = message->vectors,
        .msg_iovlen = message->vector_count,
        .msg_control = message->control_size > 0 ? message->control : NULL,
        .msg_controllen = message->control_size,
    };
}

ssize_t socket_calls_receive_message(struct engine_socket *socket, struct engine_message *message)
{
    struct msghdr header;
    ssize_t result;
    message->address_length = sizeof message->address;
    fill_header(&header, message);
    do
        result = recvmsg(socket->fd, &header, MSG_CMSG_CLOEXEC);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return -errno;
    message->address_length = header.msg_namelen;
    message->control_size = header.msg_controllen;
    message->flags = header.msg_flags;
    return result;
}

ssize_t socket_calls_send_messages(struct engine_socket *socket, struct engine_message *const *messages, int count)
{
    struct mmsghdr headers[ENGINE_MESSAGES_PER_SEND];
    int result;
    for (int i = 0; i < count; i++)
        fill_header(&headers[i].msg_hdr, messages[i]);
    do
        result = sendmmsg(socket->fd, headers, (unsigned)count, MSG_NOSIGNAL);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}
