#include "daemon/engine/fd_message.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int64_t fd_message_deadline(int64_t limit)
{
    return now() + limit;
}

/* 0 or a negative errno. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd polled = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = deadline - now();
        if (left <= 0)
            return -ETIMEDOUT;
        int r = poll(&polled, 1, (int)left);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return -errno;
    }
}

void fd_message_attach(struct msghdr *message, union fd_message_control *control, const int *descriptors, int count)
{
    size_t size = (size_t)count * sizeof(int);
    memset(control, 0, sizeof *control);
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), descriptors, size);
}

int fd_message_encode(uint8_t bytes[FD_MESSAGE_SIZE_MAX], const struct frame *frame, const void *data)
{
    size_t length = (size_t)frame->body_length + frame->payload_length;
    if (length > FRAME_BODY_MAX)
        return -EMSGSIZE;
    frame_encode(frame, bytes);
    if (length > 0)
        memcpy(bytes + FRAME_HEADER_SIZE, data, length);
    return (int)(FRAME_HEADER_SIZE + length);
}

int fd_message_send(int fd, int64_t deadline, const struct frame *frame, const void *data, const int *descriptors,
                    int count)
{
    uint8_t bytes[FD_MESSAGE_SIZE_MAX];
    int size = fd_message_encode(bytes, frame, data);
    union fd_message_control control;
    if (size < 0)
        return size;
    struct iovec vector = {.iov_base = bytes, .iov_len = (size_t)size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0)
        fd_message_attach(&message, &control, descriptors, count);
    for (;;) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) /* unix(7): so small a message goes in one piece */
            return sent == size ? 0 : -EMSGSIZE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        int r = wait_for(fd, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
}

void fd_message_detach(const struct msghdr *message, int *descriptors, int count)
{
    struct msghdr *walked =
        (struct msghdr *)(uintptr_t)message; /* the macro's type cannot say that it does not write */
    for (struct cmsghdr *header = CMSG_FIRSTHDR(walked); header; header = CMSG_NXTHDR(walked, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t came = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < came; i++) {
            int fd, place = 0;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            while (place < count && descriptors[place] >= 0)
                place++;
            if (place < count)
                descriptors[place] = fd;
            else
                close(fd);
        }
    }
}

static int receive(int fd, int64_t deadline, uint8_t *data, size_t size, int *descriptors, int count)
{
    while (size > 0) {
        union fd_message_control control;
        struct iovec vector = {.iov_base = data, .iov_len = size};
        struct msghdr message = {
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof control.bytes,
        };
        int r = wait_for(fd, POLLIN, deadline);
        if (r < 0)
            return r;
        ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (received < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (received <= 0)
            return received == 0 ? -ECONNRESET : -errno;
        fd_message_detach(&message, descriptors, count);
        data += received;
        size -= (size_t)received;
    }
    return 0;
}

int fd_message_receive(int fd, int64_t deadline, struct frame *frame, void *payload, size_t size, int *descriptors,
                       int count)
{
    uint8_t header[FRAME_HEADER_SIZE];
    for (int i = 0; i < count; i++)
        descriptors[i] = -1;
    int r = receive(fd, deadline, header, sizeof header, descriptors, count);
    if (r == 0 && (frame_decode(frame, header) != 0 || frame->body_length != 0 ||
                   (frame->payload_length != 0 && frame->payload_length != size)))
        r = -EPROTO;
    if (r == 0)
        r = receive(fd, deadline, payload, frame->payload_length, descriptors, count);
    for (int i = 0; r < 0 && i < count; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
        descriptors[i] = -1;
    }
    return r;
}
