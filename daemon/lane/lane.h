/*
 * The lane of a session: how frames come from the client and go there.
 *
 * A session begins on the plain lane, where frames and payloads are bytes in the Unix-domain socket. With its WELCOME
 * it may move to the memory lane: then frames go through rings and long payloads through arenas, in memory that both
 * share, and the socket only tells when the client is gone. The session knows no difference.
 *
 * Input is handed to the session frame by frame. Output is queued, and leaves together at the end of the turn. It is
 * bounded by asking for less: a congested lane has no room for data, and when replies pile up beyond that because the
 * client does not take them, the lane stops listening to the client.
 */
#ifndef OCHE_DAEMON_LANE_LANE_H
#define OCHE_DAEMON_LANE_LANE_H

#include "daemon/lane/lane_state.h"
#include "proto/memory.h"

/* Takes over `fd`. 0 or -ENOMEM; then the descriptor stays the caller's. */
int lane_init(struct lane *lane, struct time_slice *slice, int fd, const struct lane_user *user, void *owner);

/* Frees what the lane holds, after `closed`. */
void lane_deinit(struct lane *lane);

/* No callback but `closed` follows. Payloads of the client's that are still held need not be freed any more. */
void lane_close(struct lane *lane);

/* The client is gone: hands on the frames that it has left behind, and drops what is put from now on. */
void lane_finish(struct lane *lane);

/* Sends `frame`, a Welcome, with the descriptors of a new memory lane, and moves the session there. A negative errno:
 * the session is where it was, nothing was sent, and *what says what could not be had. */
int lane_move_to_memory(struct lane *lane, const struct memory_sizes *sizes, const struct frame *frame,
                        const void *body, const char **what);

/* Queues a frame; frame->body_length and frame->payload_length say how much of `body` and `payload` there is. 0 or
 * -ENOMEM. */
int lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload);

/* Room to receive up to `most` bytes of data into. `many`: a lot is expected. Several rooms may be out at a time, each
 * until one of the next two functions; but if the engine holds no memory (engine_holds_memory()), there is one at a
 * time, and no other call comes in between. False: the lane is congested. */
bool lane_reserve(struct lane *lane, bool many, size_t most, struct lane_room *room);

/* Queues a frame whose payload, at least a byte, was put at the start of the room. 0 or -ENOMEM. */
int lane_commit(struct lane *lane, struct lane_room *room, struct frame *frame);

/* Nothing was put there. Fine for a room that is none. */
void lane_give_back(struct lane *lane, struct lane_room *room);

void lane_free_payload(struct lane *lane, struct payload *payload);

/* Everything that the client has sent was handed on, and no frame is half here. */
bool lane_is_read(const struct lane *lane);

/* The same, and the client has taken everything that was put. */
bool lane_is_idle(const struct lane *lane);

/* The handle in the header of a frame whose payload is half here; 0: there is no such frame. */
int64_t lane_unfinished_handle(const struct lane *lane);

/* RELEASE: the client is done with data in the receive arena. False: it did not have it. */
bool lane_release(struct lane *lane, uint32_t offset, uint32_t length);

#endif
