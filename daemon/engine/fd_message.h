/*
 * One frame, and descriptors with it, over a Unix-domain socket: for greetings, where a thread may wait a moment.
 */
#ifndef OCHE_DAEMON_ENGINE_FD_MESSAGE_H
#define OCHE_DAEMON_ENGINE_FD_MESSAGE_H

#include "proto/frame.h"

#include <stdint.h>
#include <sys/socket.h>

enum { FD_MESSAGE_DESCRIPTORS_MAX = 4 };

/* Where descriptors are while their message is sent or received. */
union fd_message_control {
    char bytes[CMSG_SPACE(FD_MESSAGE_DESCRIPTORS_MAX * sizeof(int))];
    struct cmsghdr align;
};

/* Makes 1 to FD_MESSAGE_DESCRIPTORS_MAX descriptors go with the message. */
void fd_message_attach(struct msghdr *message, union fd_message_control *control, const int *descriptors, int count);

/* Puts the descriptors that came with the message where there is none (-1) yet, and closes those that are too many. */
void fd_message_detach(const struct msghdr *message, int *descriptors, int count);

/* Milliseconds of CLOCK_MONOTONIC that are `limit` from now. */
int64_t fd_message_deadline(int64_t limit);

enum { FD_MESSAGE_SIZE_MAX = FRAME_HEADER_SIZE + FRAME_BODY_MAX };

/* Writes the frame, with frame->body_length bytes of `data` (which may be the payload instead, by its length), into
 * `bytes`. Returns its size, or -EMSGSIZE. */
int fd_message_encode(uint8_t bytes[FD_MESSAGE_SIZE_MAX], const struct frame *frame, const void *data);

/* Sends the frame, with frame->body_length bytes of `body` (which may be the payload instead, by its length). The
 * descriptors stay the caller's. 0 or a negative errno; -ETIMEDOUT when the deadline is over, 0 for one that is. */
int fd_message_send(int fd, int64_t deadline, const struct frame *frame, const void *data, const int *descriptors,
                    int count);

/* Receives a frame whose payload is `size` bytes long, or empty. The `count` descriptors are the caller's, -1 where
 * fewer came. 0 or a negative errno, and there are none; -ECONNRESET: the other side has hung up; -EPROTO: that was
 * another kind of frame. */
int fd_message_receive(int fd, int64_t deadline, struct frame *frame, void *payload, size_t size, int *descriptors,
                       int count);

#endif
