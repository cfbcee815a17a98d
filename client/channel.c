#include "client/channel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTS = 3 /* header, body, payload */ };

int channel_init(struct channel *channel)
{
    *channel = (struct channel){.fd = -1};
    channel->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return channel->epoll_fd < 0 ? -errno : 0;
}

void channel_deinit(struct channel *channel)
{
    channel_detach(channel);
    close(channel->epoll_fd);
    channel->epoll_fd = -1;
}

/* Asks epoll for the events that matter in the present state. The set of a socket that is in it can
 * always be changed: this does not fail. */
static void watch(struct channel *channel, bool to_send)
{
    struct epoll_event event = {
        .events = to_send ? EPOLLIN | EPOLLOUT : EPOLLIN,
        .data.u64 = CHANNEL_EPOLL_DATA,
    };
    if (channel->fd < 0 || channel->waits_to_send == to_send)
        return;
    epoll_ctl(channel->epoll_fd, EPOLL_CTL_MOD, channel->fd, &event);
    channel->waits_to_send = to_send;
}

int channel_attach(struct channel *channel, int fd)
{
    assert(channel->fd < 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = CHANNEL_EPOLL_DATA};
    int error = frame_reader_init(&channel->in);
    if (!error && epoll_ctl(channel->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        error = -errno;
    if (error) {
        frame_reader_deinit(&channel->in);
        close(fd);
        return error;
    }
    channel->fd = fd;
    channel->waits_to_send = false;
    channel_flush(channel);
    return 0;
}

void channel_detach(struct channel *channel)
{
    if (channel->fd >= 0) {
        /* Neither step is left to close(): a child that the host process is just forking may hold
         * the socket too, and would keep it connected, and in the epoll set, for as long. */
        epoll_ctl(channel->epoll_fd, EPOLL_CTL_DEL, channel->fd, NULL);
        shutdown(channel->fd, SHUT_RDWR);
        close(channel->fd);
        channel->fd = -1;
    }
    bytes_deinit(&channel->out);
    frame_reader_deinit(&channel->in);
}

void channel_forget(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    close(channel->epoll_fd);
    channel->fd = channel->epoll_fd = -1;
    bytes_deinit(&channel->out);
    frame_reader_deinit(&channel->in);
}

int channel_reserve(struct channel *channel, size_t size)
{
    return bytes_reserve(&channel->out, size) ? 0 : -ENOMEM;
}

/* Returns how many bytes of the parts are done with. That is all of them when the connection is
 * broken: nobody will read them, and the dispatcher, which shutdown() wakes, tells the application.
 */
static size_t send_parts(const struct channel *channel, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (size_t)sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    shutdown(channel->fd, SHUT_RDWR);
    return SIZE_MAX;
}

/* Queues what is left of the parts after `skipped` bytes. */
static void queue_parts(struct channel *channel, const struct iovec *parts, size_t skipped)
{
    for (int i = 0; i < PARTS; i++) {
        size_t skip = skipped < parts[i].iov_len ? skipped : parts[i].iov_len;
        size_t size = parts[i].iov_len - skip;
        skipped -= skip;
        if (size == 0)
            continue;
        uint8_t *room = bytes_reserve(&channel->out, size);
        assert(room); /* reserved before */
        memcpy(room, (const uint8_t *)parts[i].iov_base + skip, size);
        bytes_commit(&channel->out, size);
    }
}

/* sendmsg() does not write through the pointer; its type cannot say so. */
static struct iovec part(const void *data, size_t size)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

void channel_put(struct channel *channel, const struct frame *frame, const void *body, const void *payload,
                 enum channel_urgency urgency)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_encode(frame, header);
    struct iovec parts[PARTS] = {
        part(header, sizeof header),
        part(body, frame->body_length),
        part(payload, frame->payload_length),
    };
    bool goes_first = bytes_length(&channel->out) == 0;
    size_t sent = 0;
    if (urgency == CHANNEL_AT_ONCE && goes_first && channel->fd >= 0)
        sent = send_parts(channel, parts, PARTS);
    queue_parts(channel, parts, sent);
    if (bytes_length(&channel->out) > 0)
        watch(channel, true);
}

void channel_flush(struct channel *channel)
{
    size_t queued = bytes_length(&channel->out);
    size_t sent = 0;
    if (channel->fd < 0)
        return;
    if (queued > 0) {
        struct iovec all = part(bytes_front(&channel->out), queued);
        sent = send_parts(channel, &all, 1);
    }
    /* Taking nothing matters too: it gives back room that was reserved and turned out not to be
     * needed. */
    bytes_take(&channel->out, sent < queued ? sent : queued);
    watch(channel, bytes_length(&channel->out) > 0);
}

int channel_receive(struct channel *channel)
{
    if (channel->fd < 0)
        return -ENOTCONN;
    size_t room;
    uint8_t *data = frame_reader_room(&channel->in, &room);
    ssize_t received;
    do
        received = recv(channel->fd, data, room, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received == 0)
        return -ECONNRESET;
    if (received < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? CHANNEL_EMPTIED : -errno;
    frame_reader_filled(&channel->in, (size_t)received);
    return (size_t)received < room ? CHANNEL_EMPTIED : CHANNEL_HAS_MORE;
}
