/*
 * The plain lane of a session: frames and payloads as bytes over the Unix-domain socket.
 *
 * Input is handed to the session frame by frame. Output gathers in a queue that leaves in one send at the end of the
 * turn. The queue is bounded by asking for less: a congested lane offers no room for the bytes of a read, and when
 * replies pile up beyond that because the client does not take them, it stops listening to the client.
 *
 * A client that has hung up may have left requests in the socket, so only the end of what it has sent is its end: when
 * a send fails, output is dropped from then on, and reading goes on.
 */
#ifndef OCHE_DAEMON_LANE_PLAIN_LANE_H
#define OCHE_DAEMON_LANE_PLAIN_LANE_H

#include "daemon/engine/engine.h"
#include "proto/bytes.h"
#include "proto/frame_reader.h"

#include <stdbool.h>

struct plain_lane_user {
    /* A frame came; the payload is the user's to free. False: do not go on (the lane was closed). */
    bool (*frame)(void *owner, struct frame_message *message);
    /* The lane was congested and is not any more. */
    void (*relieved)(void *owner);
    /* The client is gone (why is NULL), what came is no frame, or, with an os_error, it could not be taken for want of
     * memory. The user closes the lane. */
    void (*broken)(void *owner, const char *why, int os_error);
    /* After plain_lane_close(), at the end of the turn. */
    void (*closed)(void *owner);
};

struct plain_lane {
    struct engine_socket *socket;
    struct engine *engine;
    struct engine_timer retry_timer; /* for who was refused room because memory was short */
    const struct plain_lane_user *user;
    void *owner;
    struct frame_reader reader;
    struct bytes output;
    struct bytes behind; /* what was put while the system had the output, which does not move meanwhile */
    bool output_is_held;
    struct engine_work backlog; /* submitted: frames are here that there was no time for */
    bool sending;
    bool listening;
    bool congested; /* somebody was refused room and waits for `relieved` */
    bool unheard;   /* a send has failed: what is put is dropped */
    bool closed;
};

/* Takes over `fd`. 0 or -ENOMEM; then the descriptor stays the caller's. */
int plain_lane_init(struct plain_lane *lane, struct time_slice *slice, int fd, const struct plain_lane_user *user,
                    void *owner);

/* Frees what the lane holds, after `closed`. */
void plain_lane_deinit(struct plain_lane *lane);

/* Sends what is queued, as far as the client takes it at once, and closes. No callback but `closed` follows. */
void plain_lane_close(struct plain_lane *lane);

/* Queues a frame; frame->body_length and frame->payload_length say how much of `body` and `payload` there is.
 * 0 or -ENOMEM. */
int plain_lane_put(struct plain_lane *lane, const struct frame *frame, const void *body, const void *payload);

/* Room to receive a payload of up to *size bytes into, or NULL: the lane is congested, nobody takes its output
 * any more, or memory is short. */
uint8_t *plain_lane_room(struct plain_lane *lane, size_t *size);

/* Queues a frame whose payload was put at the start of the room. No other call came in between. */
void plain_lane_put_room(struct plain_lane *lane, const struct frame *frame);

/* Somebody was refused for want of memory: `relieved` will come. */
void plain_lane_want_relief(struct plain_lane *lane);

/* Everything that the client has sent was handed on, and no frame is half here. */
bool plain_lane_is_read(const struct plain_lane *lane);

/* Everything that was put was sent. */
bool plain_lane_is_sent(const struct plain_lane *lane);

#endif
