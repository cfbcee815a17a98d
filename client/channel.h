/*
 * The plain lane: frames over the Unix-domain socket to the daemon, without ever blocking.
 *
 * What the socket does not take waits in a queue. An epoll descriptor, which lives as long as the
 * channel, polls readable when there is something to receive, or when something is queued and the
 * socket takes more.
 *
 * Threads: channel_receive() and `in` are for the one thread that dispatches; everything else
 * happens with the session's mutex held.
 */
#ifndef OCHE_CLIENT_CHANNEL_H
#define OCHE_CLIENT_CHANNEL_H

#include "proto/bytes.h"
#include "proto/frame_reader.h"

#include <stdbool.h>

struct channel {
    int epoll_fd;
    int fd; /* -1: detached */
    bool waits_to_send;
    struct bytes out;
    struct frame_reader in;
};

/* When a frame shall leave. */
enum channel_urgency {
    CHANNEL_AT_ONCE,        /* from this call, if the socket takes it */
    CHANNEL_WITH_THE_BATCH, /* with what else is queued when the dispatcher comes by, which is woken
                             */
};

/* What channel_receive() returns besides a negative errno. */
enum { CHANNEL_EMPTIED = 0, CHANNEL_HAS_MORE = 1 };

/* The event data of the socket in the epoll set; whoever adds descriptors of his own takes another
 * number. */
enum { CHANNEL_EPOLL_DATA = 0 };

/* Detached at first. Returns 0 or a negative errno. */
int channel_init(struct channel *channel);
void channel_deinit(struct channel *channel);

/* Gives the channel a connected, non-blocking socket, which is its own from now on (and closed if
 * this fails), and sends what was queued before. Returns 0 or a negative errno. */
int channel_attach(struct channel *channel, int fd);

/* Ends the connection, drops what is queued in both directions. Idempotent. */
void channel_detach(struct channel *channel);

/* Closes the descriptors but says nothing to the daemon: for the child of a fork, whose parent goes
 * on. */
void channel_forget(struct channel *channel);

/* Room for `size` bytes of frames, so that the next channel_put() of no more than these cannot
 * fail. Returns 0 or -ENOMEM. */
int channel_reserve(struct channel *channel, size_t size);

/* Sends or queues a frame of frame->body_length bytes of body and frame->payload_length bytes of
 * payload, for which room was reserved. A detached channel queues it until it is attached. A broken
 * connection swallows it: that is for channel_receive() to tell. */
void channel_put(struct channel *channel, const struct frame *frame, const void *body, const void *payload,
                 enum channel_urgency urgency);

/* Sends what is queued, as far as the socket takes it. */
void channel_flush(struct channel *channel);

/* Receives once, into `in`. CHANNEL_EMPTIED: that was all for now; CHANNEL_HAS_MORE: there may be
 * more; -ENOTCONN: detached; -ECONNRESET: the daemon ended the connection; another negative errno.
 */
int channel_receive(struct channel *channel);

#endif
