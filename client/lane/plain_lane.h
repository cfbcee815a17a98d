/*
 * The plain lane: frames over the Unix-domain socket to the daemon, without ever blocking.
 *
 * What the socket does not take waits in a queue. An epoll descriptor, which lives as long as the lane, polls
 * readable when there is something to receive, or when something is queued and the socket takes more.
 *
 * When the session is on the memory lane, the socket carries nothing; it is in the epoll set all the same, and tells
 * when the daemon is gone. The queue is then the memory lane's.
 *
 * Threads: plain_lane_receive() and `in` are for the one thread that dispatches; everything else happens with the
 * session's mutex held.
 */
#ifndef OCHE_CLIENT_LANE_PLAIN_LANE_H
#define OCHE_CLIENT_LANE_PLAIN_LANE_H

#include "client/lane/lane_message.h"
#include "proto/bytes.h"
#include "proto/frame_reader.h"

#include <stdbool.h>

struct plain_lane {
    int epoll_fd;
    int fd; /* -1: detached */
    bool waits_to_send;
    bool full;        /* the socket has not taken all that it was given last */
    uint32_t refills; /* how often the socket took something after it had been full: then the daemon has received */
    struct bytes out;
    struct frame_reader in;
};

/* The event data of the socket in the epoll set; whoever adds descriptors of his own takes another
 * number. */
enum { PLAIN_LANE_EPOLL_DATA = 0 };

/* Detached at first. Returns 0 or a negative errno. */
int plain_lane_init(struct plain_lane *lane);
void plain_lane_deinit(struct plain_lane *lane);

/* Gives the lane a connected, non-blocking socket, which is its own from now on (and closed if this fails). What was
 * queued before waits for a flush. Returns 0 or a negative errno. */
int plain_lane_attach(struct plain_lane *lane, int fd, bool carries_frames);

/* Ends the connection, drops what is queued in both directions. Idempotent. */
void plain_lane_detach(struct plain_lane *lane);

/* Closes the descriptors but says nothing to the daemon: for the child of a fork, whose parent goes
 * on. */
void plain_lane_forget(struct plain_lane *lane);

/* Room for `size` bytes of frames, so that the next plain_lane_put() of no more than these cannot
 * fail. Returns 0 or -ENOMEM. */
int plain_lane_reserve(struct plain_lane *lane, size_t size);

/* Sends or queues a frame of frame->body_length bytes of body and frame->payload_length bytes of
 * payload, for which room was reserved. A detached lane queues it until it is attached. A broken
 * connection swallows it: that is for plain_lane_receive() to tell. */
void plain_lane_put(struct plain_lane *lane, const struct frame *frame, const void *body, const void *payload,
                    enum lane_urgency urgency);

/* Sends what is queued, as far as the socket takes it. */
void plain_lane_flush(struct plain_lane *lane);

/* Makes the epoll descriptor readable until the next flush. */
void plain_lane_wake(struct plain_lane *lane);

/* Receives once, into `in`. LANE_RECEIVED_ALL: that was all for now; LANE_HAS_MORE: there may be
 * more; -ENOTCONN: detached; -ECONNRESET: the daemon ended the connection; another negative errno.
 */
int plain_lane_receive(struct plain_lane *lane);

/* For a socket that carries nothing. 0: so it is; -ECONNRESET: the daemon ended the connection; another negative errno.
 */
int plain_lane_check(const struct plain_lane *lane);

#endif
