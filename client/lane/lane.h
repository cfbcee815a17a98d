/*
 * The way to the daemon: frames out, messages in, whatever lane the two have agreed on.
 *
 * On the plain lane (plain_lane.h) frames are bytes in the Unix-domain socket; on the memory lane (memory_lane.h) they
 * go through shared memory, and the socket only tells when the daemon is gone. A lane that is detached queues what is
 * put, until it is attached to a daemon.
 *
 * One epoll descriptor, which lives as long as the lane, polls readable when there is something to do for whoever
 * dispatches.
 *
 * Threads: lane_wait(), lane_poll() and lane_receive() are for the one thread that dispatches; everything else happens
 * with the session's mutex held, unless a comment says otherwise.
 */
#ifndef OCHE_CLIENT_LANE_LANE_H
#define OCHE_CLIENT_LANE_LANE_H

#include "client/lane/lane_message.h"
#include "client/lane/memory_lane.h"
#include "client/lane/plain_lane.h"

struct lane {
    struct plain_lane plain;
    struct memory_lane memory; /* in use if it has a region */
};

/* What the daemon gives for the memory lane, and the mutex that guards the lane: lane_free_data() takes it. */
struct lane_memory {
    struct region *region;
    pthread_mutex_t *mutex;
    int own_bell;
    int daemon_bell;
};

/* Detached at first. Returns 0 or a negative errno. */
int lane_init(struct lane *lane);
void lane_deinit(struct lane *lane);

/* Attaches the lane to the daemon, and sends what was queued before. Takes over the socket and, if `memory` is not
 * NULL, what is in it, also if it fails. Returns 0 or a negative errno. */
int lane_attach(struct lane *lane, int fd, const struct lane_memory *memory);

/* Ends the connection, drops what is queued in both directions. Idempotent. */
void lane_detach(struct lane *lane);

/* For the child of a fork: closes the descriptors, but says nothing to the daemon, with which the parent goes on. */
void lane_forget(struct lane *lane);

/* Room for a request with so many bytes of body and of payload, so that the next lane_put() of no more cannot fail.
 * Returns 0 or -ENOMEM. */
int lane_reserve(struct lane *lane, size_t body_length, size_t count);

/* Sends or queues a request of frame->body_length bytes of body and `count` bytes of payload, for which room was
 * reserved; cuts it into several frames if it has to. All is copied. A broken connection swallows it: that is for
 * lane_receive() to tell. */
void lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload, size_t count,
              enum lane_urgency urgency);

/* Sends what is queued, as far as it goes. */
void lane_flush(struct lane *lane);

/* A number that changes when the daemon has taken something of what lay ready for it. That it stays the same says less:
 * on the plain lane it changes only when there was more than the socket took. */
uint32_t lane_taken(const struct lane *lane);

/* What lane_wait() found, as bits; those of other descriptors in the set are 1 << their number. */
enum { LANE_SOCKET = 1 << PLAIN_LANE_EPOLL_DATA };

/* The first number in the epoll set that is not the lane's. */
enum { LANE_EPOLL_DATA_END = MEMORY_LANE_EPOLL_DATA + 1 };

/* Waits, for `timeout` milliseconds or, with -1, until there is something to do. */
unsigned lane_wait(struct lane *lane, int timeout);

/* For somebody who has waited on the descriptor by himself: what there is to do. */
unsigned lane_poll(struct lane *lane);

/* Begins a round of receiving; `ready` is from lane_wait(). LANE_RECEIVED_ALL: take the messages, and that was all for
 * now; LANE_HAS_MORE: take them, there may be more; -ENOTCONN: detached; another negative errno: the daemon is gone.
 */
int lane_receive(struct lane *lane, unsigned ready);

/* The next message of this round. LANE_EMPTY, LANE_MESSAGE, or LANE_FAULT: the daemon sends nonsense, *fault says
 * which. */
int lane_next(struct lane *lane, struct lane_message *message, const char **fault);

/* Ends a round, after the last message. */
void lane_done(struct lane *lane);

/* The dispatcher is about to wait. True: it will be woken. False: there is something to receive, it should not. */
bool lane_sleep(struct lane *lane);

/* Makes the epoll descriptor readable, once. */
void lane_wake(struct lane *lane);

/* Takes back data that came through this lane. NULL is fine. */
void lane_give_back(struct lane *lane, struct data *data);

/* The same without a lane, from any thread, with no mutex held. */
void lane_free_data(struct data *data);

#endif
