#include "daemon/engine/engine_socket.h"

#include "daemon/engine/fd_message.h"
#include "daemon/engine/socket_progress.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct engine_socket *engine_socket_new(struct time_slice *slice, int fd, const struct engine_handlers *handlers,
                                        void *owner)
{
    const struct engine_backend *backend = slice->engine->backend;
    struct engine_socket *socket = malloc(backend->socket_size);
    if (!socket)
        return NULL;
    *socket = (struct engine_socket){
        .work = {.run = engine_socket_serve, .slice = slice},
        .engine = slice->engine,
        .handlers = handlers,
        .owner = owner,
        .fd = fd,
        .writable = true,
    };
    list_init(&socket->work.node);
    backend->socket_init(socket);
    return socket;
}

void engine_socket_close(struct engine_socket *socket)
{
    assert(socket->fd >= 0);
    socket->engine->backend->socket_forget(socket);
    close(socket->fd);
    socket->fd = -1;
    engine_socket_begin_closing(socket);
}

void engine_socket_reset(struct engine_socket *socket)
{
    /* socket(7): a close that lingers for no time at all. It fails for no socket that is connected or connecting. */
    static const struct linger none = {.l_onoff = 1};
    setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    engine_socket_close(socket);
}

/* ---- operations ---- */

void engine_accept(struct engine_socket *socket)
{
    socket->listens = true;
    engine_socket_start_inward(socket, INWARD_ACCEPT);
}

void engine_recv(struct engine_socket *socket)
{
    engine_socket_start_inward(socket, INWARD_RECV);
}

void engine_recv_retry(struct engine_socket *socket)
{
    if (socket->inward == INWARD_RECV_HELD)
        engine_socket_start_inward(socket, INWARD_RECV);
    else if (socket->inward == INWARD_MESSAGE_HELD)
        engine_socket_start_inward(socket, INWARD_MESSAGE);
}

bool engine_recv_withdraw(struct engine_socket *socket)
{
    if (socket->inward_progress != PROGRESS_NONE)
        return false;
    socket->inward = INWARD_NONE;
    return true;
}

int engine_push_back(struct engine_socket *socket, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    struct engine_pushed_back *pushed_back = malloc(sizeof *pushed_back + size);
    if (!pushed_back)
        return -ENOMEM;
    *pushed_back = (struct engine_pushed_back){.size = size};
    memcpy(pushed_back->bytes, bytes, size);
    engine_socket_push_back(socket, pushed_back);
    return 0;
}

void engine_send(struct engine_socket *socket)
{
    engine_socket_start_outward(socket, OUTWARD_SEND);
}

void engine_accept_withdraw(struct engine_socket *socket)
{
    assert(socket->inward == INWARD_ACCEPT);
    socket->inward = INWARD_NONE;
}

void engine_send_withdraw(struct engine_socket *socket)
{
    assert(socket->outward == OUTWARD_SEND && socket->outward_progress == PROGRESS_NONE);
    socket->outward = OUTWARD_NONE;
}

void engine_recv_message(struct engine_socket *socket)
{
    engine_socket_start_inward(socket, INWARD_MESSAGE);
}

void engine_send_messages(struct engine_socket *socket)
{
    engine_socket_start_outward(socket, OUTWARD_MESSAGES);
}

void engine_connect(struct engine_socket *socket, const struct sockaddr *address, socklen_t length)
{
    int result;
    do
        result = connect(socket->fd, address, length) == 0 ? 0 : -errno;
    while (result == -EINTR);
    socket->connect_result = result;
    socket->writable = result != -EINPROGRESS;
    engine_socket_start_outward(socket, OUTWARD_CONNECT);
}

void engine_watch_break(struct engine_socket *socket)
{
    socket->engine->backend->watch_break(socket);
}

/* ---- what is answered at once ---- */

int engine_socket_name(const struct engine_socket *socket, struct sockaddr_storage *address)
{
    socklen_t length = sizeof *address;
    memset(address, 0, sizeof *address);
    return getsockname(socket->fd, (struct sockaddr *)address, &length) < 0 ? -errno : 0;
}

int engine_socket_peer(const struct engine_socket *socket, struct sockaddr_storage *address)
{
    socklen_t length = sizeof *address;
    memset(address, 0, sizeof *address);
    return getpeername(socket->fd, (struct sockaddr *)address, &length) < 0 ? -errno : 0;
}

int engine_socket_get_option(const struct engine_socket *socket, int level, int name, void *value, socklen_t *size)
{
    return getsockopt(socket->fd, level, name, value, size) < 0 ? -errno : 0;
}

int engine_socket_set_option(const struct engine_socket *socket, int level, int name, const void *value, socklen_t size)
{
    return setsockopt(socket->fd, level, name, value, size) < 0 ? -errno : 0;
}

int engine_socket_shut_down(const struct engine_socket *socket, int how)
{
    return shutdown(socket->fd, how) < 0 ? -errno : 0;
}

int engine_socket_unsent(const struct engine_socket *socket)
{
    int count = 0;
    return ioctl(socket->fd, SIOCOUTQ, &count) < 0 ? -errno : count;
}

int engine_socket_unread(const struct engine_socket *socket)
{
    int count = 0;
    return ioctl(socket->fd, FIONREAD, &count) < 0 ? -errno : count;
}

int engine_socket_fd(const struct engine_socket *socket)
{
    return socket->fd;
}

int engine_socket_duplicate(const struct engine_socket *socket)
{
    int fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

ssize_t engine_socket_send_now(const struct engine_socket *socket, const void *bytes, size_t size,
                               const int *descriptors, int descriptor_count)
{
    union fd_message_control control;
    struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (socket->outward_progress != PROGRESS_NONE)
        return -EBUSY;
    if (descriptor_count > 0)
        fd_message_attach(&message, &control, descriptors, descriptor_count);
    ssize_t sent;
    do
        sent = sendmsg(socket->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}
