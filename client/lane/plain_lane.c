/*
 * Sending never fails for whoever makes a request. Room is reserved before; what the socket does not take at once is
 * queued, and EPOLLOUT is asked for exactly as long as something is queued. When the socket turns out to be broken,
 * what should be sent is dropped and the socket is shut down: that makes it readable, so the thread that dispatches
 * finds out and tells the application.
 */
#include "client/lane/plain_lane.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTS = 3 /* header, body, payload */ };

int plain_lane_init(struct plain_lane *lane)
{
    *lane = (struct plain_lane){.fd = -1};
    lane->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return lane->epoll_fd < 0 ? -errno : 0;
}

void plain_lane_deinit(struct plain_lane *lane)
{
    plain_lane_detach(lane);
    close(lane->epoll_fd);
    lane->epoll_fd = -1;
}

/* Asks epoll for the events that matter in the present state. The set of a socket that is in it can
 * always be changed: this does not fail. */
static void watch(struct plain_lane *lane, bool to_send)
{
    struct epoll_event event = {
        .events = to_send ? EPOLLIN | EPOLLOUT : EPOLLIN,
        .data.u64 = PLAIN_LANE_EPOLL_DATA,
    };
    if (lane->fd < 0 || lane->waits_to_send == to_send)
        return;
    epoll_ctl(lane->epoll_fd, EPOLL_CTL_MOD, lane->fd, &event);
    lane->waits_to_send = to_send;
}

int plain_lane_attach(struct plain_lane *lane, int fd, bool carries_frames)
{
    assert(lane->fd < 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = PLAIN_LANE_EPOLL_DATA};
    int error = carries_frames ? frame_reader_init(&lane->in) : 0;
    if (!error && epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        error = -errno;
    if (error) {
        frame_reader_deinit(&lane->in);
        close(fd);
        return error;
    }
    lane->fd = fd;
    lane->waits_to_send = false;
    lane->full = false;
    return 0;
}

void plain_lane_detach(struct plain_lane *lane)
{
    if (lane->fd >= 0) {
        /* Neither step is left to close(): a child that the host process is just forking may hold
         * the socket too, and would keep it connected, and in the epoll set, for as long. */
        epoll_ctl(lane->epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
        shutdown(lane->fd, SHUT_RDWR);
        close(lane->fd);
        lane->fd = -1;
    }
    bytes_deinit(&lane->out);
    frame_reader_deinit(&lane->in);
}

void plain_lane_forget(struct plain_lane *lane)
{
    if (lane->fd >= 0)
        close(lane->fd);
    close(lane->epoll_fd);
    lane->fd = lane->epoll_fd = -1;
    bytes_deinit(&lane->out);
    frame_reader_deinit(&lane->in);
}

int plain_lane_reserve(struct plain_lane *lane, size_t size)
{
    return bytes_reserve(&lane->out, size) ? 0 : -ENOMEM;
}

/* Returns how many bytes of the parts are done with. That is all of them when the connection is
 * broken: nobody will read them, and the dispatcher, which shutdown() wakes, tells the application.
 */
static size_t send_parts(struct plain_lane *lane, struct iovec *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += parts[i].iov_len;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(lane->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        if (lane->full)
            lane->refills++;
        lane->full = (size_t)sent < size;
        return (size_t)sent;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        lane->full = true;
        return 0;
    }
    shutdown(lane->fd, SHUT_RDWR);
    return SIZE_MAX;
}

/* Queues what is left of the parts after `skipped` bytes. */
static void queue_parts(struct plain_lane *lane, const struct iovec *parts, size_t skipped)
{
    for (int i = 0; i < PARTS; i++) {
        size_t skip = skipped < parts[i].iov_len ? skipped : parts[i].iov_len;
        size_t size = parts[i].iov_len - skip;
        skipped -= skip;
        if (size == 0)
            continue;
        uint8_t *room = bytes_reserve(&lane->out, size);
        assert(room); /* reserved before */
        memcpy(room, (const uint8_t *)parts[i].iov_base + skip, size);
        bytes_commit(&lane->out, size);
    }
}

/* sendmsg() does not write through the pointer; its type cannot say so. */
static struct iovec part(const void *data, size_t size)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

void plain_lane_put(struct plain_lane *lane, const struct frame *frame, const void *body, const void *payload,
                    enum lane_urgency urgency)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_encode(frame, header);
    struct iovec parts[PARTS] = {
        part(header, sizeof header),
        part(body, frame->body_length),
        part(payload, frame->payload_length),
    };
    bool goes_first = bytes_length(&lane->out) == 0;
    size_t sent = 0;
    if (urgency == LANE_AT_ONCE && goes_first && lane->fd >= 0)
        sent = send_parts(lane, parts, PARTS);
    queue_parts(lane, parts, sent);
    if (bytes_length(&lane->out) > 0)
        watch(lane, true);
}

void plain_lane_flush(struct plain_lane *lane)
{
    size_t queued = bytes_length(&lane->out);
    size_t sent = 0;
    if (lane->fd < 0)
        return;
    if (queued > 0) {
        struct iovec all = part(bytes_front(&lane->out), queued);
        sent = send_parts(lane, &all, 1);
    }
    /* Taking nothing matters too: it gives back room that was reserved and turned out not to be
     * needed. */
    bytes_take(&lane->out, sent < queued ? sent : queued);
    watch(lane, bytes_length(&lane->out) > 0);
}

void plain_lane_wake(struct plain_lane *lane)
{
    watch(lane, true);
}

int plain_lane_receive(struct plain_lane *lane)
{
    if (lane->fd < 0)
        return -ENOTCONN;
    size_t room;
    uint8_t *data = frame_reader_room(&lane->in, &room);
    ssize_t received;
    do
        received = recv(lane->fd, data, room, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received == 0)
        return -ECONNRESET;
    if (received < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? LANE_RECEIVED_ALL : -errno;
    frame_reader_filled(&lane->in, (size_t)received);
    return (size_t)received < room ? LANE_RECEIVED_ALL : LANE_HAS_MORE;
}

int plain_lane_check(const struct plain_lane *lane)
{
    uint8_t unexpected;
    ssize_t received;
    do
        received = recv(lane->fd, &unexpected, 1, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received >= 0)
        return received == 0 ? -ECONNRESET : -EPROTO;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}
