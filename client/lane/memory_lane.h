/*
 * The memory lane: frames through two rings, long payloads through two arenas, in memory shared with the daemon.
 *
 * Everything in the shared memory may be changed by the daemon at any time, and the daemon may be hostile. It is read
 * once, into private memory, and checked; nothing but the bytes of a read is left there.
 *
 * Threads: memory_lane_has_more() is for the one thread that dispatches; everything else happens with the session's
 * mutex held. `queue` is the session's queue of frames that wait.
 */
#ifndef OCHE_CLIENT_LANE_MEMORY_LANE_H
#define OCHE_CLIENT_LANE_MEMORY_LANE_H

#include "client/lane/data.h"
#include "client/lane/lane_message.h"
#include "client/os/region.h"
#include "proto/arena.h"
#include "proto/bytes.h"
#include "proto/ring.h"

#include <stdbool.h>

/* All zero: not in use. */
struct memory_lane {
    struct region *region; /* NULL: not in use */
    int epoll_fd;          /* the session's */
    int own_bell;          /* a pipe that the daemon writes to */
    int daemon_bell;       /* an eventfd of the daemon's */
    bool bell_is_gone;     /* the daemon has closed its end */
    int wake_fd;           /* an eventfd, for ourselves */
    struct ring_producer requests;
    struct ring_consumer replies;
    unsigned round_left; /* records that this round of receiving may still take */
    struct arena send;

    /* A block of the receive arena is free for the daemon when it has got back all that it put there. */
    uint32_t *held;        /* for each block: payloads that we have */
    uint32_t held_blocks;  /* blocks with such payloads */
    uint32_t held_max;     /* of these, before what comes is copied out */
    uint32_t released;     /* payloads in `releases` */
    uint32_t released_max; /* before they are sent for their own sake */
    struct data_queue releases;

    uint8_t body[FRAME_BODY_MAX];
};

/* The number of the own bell in the epoll set. */
enum { MEMORY_LANE_EPOLL_DATA = 1 };

/* Starts to use the region; takes over one reference and, also if it fails, the bells. 0 or a negative errno. */
int memory_lane_attach(struct memory_lane *lane, struct region *region, int own_bell, int daemon_bell, int epoll_fd);

/* Stops. What the application holds stays readable. Idempotent. */
void memory_lane_detach(struct memory_lane *lane);

/* In the child of a fork: leaves the memory and the parent's epoll set alone. */
void memory_lane_forget(struct memory_lane *lane);

/* As lane_reserve(), lane_put(), lane_flush(). */
int memory_lane_reserve(struct memory_lane *lane, struct bytes *queue, size_t body_length, size_t count);
void memory_lane_put(struct memory_lane *lane, struct bytes *queue, const struct frame *frame, const uint8_t *body,
                     const uint8_t *payload, size_t count);
void memory_lane_flush(struct memory_lane *lane, struct bytes *queue);

/* Begins a round of receiving, if there is anything to receive. */
bool memory_lane_has_more(struct memory_lane *lane);

/* As lane_next(). */
int memory_lane_next(struct memory_lane *lane, struct lane_message *message, const char **fault);

/* Ends a round: the daemon may use the room of the records. */
void memory_lane_done(struct memory_lane *lane, struct bytes *queue);

/* As lane_sleep(), lane_wake(). */
bool memory_lane_sleep(struct memory_lane *lane, struct bytes *queue);
void memory_lane_wake(const struct memory_lane *lane);

/* The bell was heard. Look at the ring after that. */
void memory_lane_silence(struct memory_lane *lane);

/* Takes back data, from wherever it came. */
void memory_lane_give_back(struct memory_lane *lane, struct bytes *queue, struct data *data);

#endif
