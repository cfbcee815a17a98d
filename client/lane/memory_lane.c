/*
 * Requests go straight into the ring, and what is written straight into the send arena. When the ring is full, frames
 * wait in a queue until the daemon has made room and rings our bell. When the send arena is full, as it is while a peer
 * does not read, payloads go through the ring in small pieces: so one slow connection cannot keep the others from
 * writing.
 *
 * Data that came through the receive arena stays there until the application gives it back. An arena that is full of
 * what the application holds would keep the daemon from receiving; so when half of its blocks hold something, what
 * comes in another block is copied out and given back at once.
 *
 * The arenas are mapped as they are used (region.h). Where that fails for want of address space, what was received is
 * copied out through a system call, and what is written goes through the ring.
 *
 * What is given back is not worth a bell: it waits for the next request, until the daemon is found awake, or until
 * there is enough of it to matter. The daemon is never short of room by that: see held_max and released_max.
 */
#include "client/lane/memory_lane.h"

#include "client/os/bell.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    RECORDS_PER_ROUND = 64, /* few enough that requests need not wait long for the mutex */
    FLUSHES = 8,            /* attempts to follow a daemon that makes room while we look */
};

static void close_bells(struct memory_lane *lane)
{
    close(lane->own_bell);
    close(lane->daemon_bell);
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    lane->own_bell = lane->daemon_bell = lane->wake_fd = -1;
}

/* The daemon's pipe, and an eventfd of our own: that one is edge-triggered, so that nobody has to read it. */
static int hang_bells(struct memory_lane *lane)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = MEMORY_LANE_EPOLL_DATA};
    lane->wake_fd = bell_new();
    if (lane->wake_fd < 0)
        return lane->wake_fd;
    if (epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, lane->own_bell, &event) < 0)
        return -errno;
    fcntl(lane->own_bell, F_SETFL, O_NONBLOCK); /* whatever the daemon thinks of it */
    event.events |= EPOLLET;
    return epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, lane->wake_fd, &event) < 0 ? -errno : 0;
}

int memory_lane_attach(struct memory_lane *lane, struct region *region, int own_bell, int daemon_bell, int epoll_fd)
{
    assert(!lane->region);
    const struct memory_sizes *sizes = &region->sizes;
    uint32_t blocks = sizes->receive_arena / ARENA_BLOCK;
    struct memory_map map;
    memory_map_init_rings(&map, region->rings, sizes);

    lane->epoll_fd = epoll_fd;
    lane->own_bell = own_bell;
    lane->daemon_bell = daemon_bell;
    lane->wake_fd = -1;
    lane->bell_is_gone = false;
    lane->held = calloc(blocks, sizeof *lane->held);
    int error = lane->held ? arena_init_growing(&lane->send, sizes->send_arena, region_grow_send, region) : -ENOMEM;
    if (!error)
        error = hang_bells(lane);
    if (error) {
        arena_deinit(&lane->send);
        free(lane->held);
        lane->held = NULL;
        close_bells(lane);
        return error;
    }
    ring_producer_init(&lane->requests, map.request_control, map.request_ring, sizes->request_ring);
    ring_consumer_init(&lane->replies, map.reply_control, map.reply_ring, sizes->reply_ring);
    lane->round_left = 0;
    lane->held_blocks = lane->released = 0;
    lane->held_max = blocks / 2;
    lane->released_max = blocks / 8;
    lane->region = region;
    return 0;
}

static void release_all(struct memory_lane *lane)
{
    close_bells(lane);
    data_queue_deinit(&lane->releases);
    lane->released = 0;
    arena_deinit(&lane->send);
    free(lane->held);
    lane->held = NULL;
    region_close(lane->region);
    region_unref(lane->region);
    lane->region = NULL;
}

void memory_lane_detach(struct memory_lane *lane)
{
    if (!lane->region)
        return;
    /* Closing does not do: a child that is just being forked may hold the bells too, and with them their places in the
     * set. */
    epoll_ctl(lane->epoll_fd, EPOLL_CTL_DEL, lane->own_bell, NULL);
    epoll_ctl(lane->epoll_fd, EPOLL_CTL_DEL, lane->wake_fd, NULL);
    release_all(lane);
}

void memory_lane_forget(struct memory_lane *lane)
{
    if (lane->region)
        release_all(lane);
}

/* Bytes that a frame takes in the ring. */
static size_t record_size(const struct frame *frame)
{
    size_t payload = frame->flags & FRAME_IN_ARENA ? 0 : frame->payload_length;
    return FRAME_HEADER_SIZE + frame->body_length + payload;
}

int memory_lane_reserve(struct memory_lane *lane, struct bytes *queue, size_t body_length, size_t count)
{
    size_t fixed = FRAME_HEADER_SIZE + body_length;
    if (bytes_length(queue) == 0) {
        uint32_t available;
        if (count <= MEMORY_INLINE_MAX && ring_reserve(&lane->requests, (uint32_t)(fixed + count)))
            return 0;
        if (count > MEMORY_INLINE_MAX && count <= ARENA_BLOCK && arena_room(&lane->send, (uint32_t)count, &available) &&
            ring_reserve(&lane->requests, (uint32_t)fixed))
            return 0;
    }
    /* At worst all of it waits, in the smallest pieces. */
    size_t pieces = count / MEMORY_INLINE_MAX + 1;
    return bytes_reserve(queue, count + pieces * fixed) ? 0 : -ENOMEM;
}

/* Puts one frame into the ring, or behind those that wait. There is room, see memory_lane_reserve(). */
static void put_record(struct memory_lane *lane, struct bytes *queue, const struct frame *frame, const uint8_t *body,
                       const uint8_t *payload)
{
    size_t size = record_size(frame);
    uint8_t *in_ring = bytes_length(queue) == 0 ? ring_reserve(&lane->requests, (uint32_t)size) : NULL;
    uint8_t *room = in_ring ? in_ring : bytes_reserve(queue, size);
    assert(room);
    frame_encode(frame, room);
    if (frame->body_length)
        memcpy(room + FRAME_HEADER_SIZE, body, frame->body_length);
    if (size > FRAME_HEADER_SIZE + (size_t)frame->body_length)
        memcpy(room + FRAME_HEADER_SIZE + frame->body_length, payload, frame->payload_length);
    if (in_ring)
        ring_commit(&lane->requests, (uint32_t)size);
    else
        bytes_commit(queue, size);
}

/* Makes a frame of the first of `left` bytes: in the arena, or small enough for the ring. */
static void cut(struct memory_lane *lane, struct frame *part, const uint8_t *payload, size_t left)
{
    size_t size = left < ARENA_BLOCK ? left : ARENA_BLOCK;
    part->flags &= FRAME_QUIET;
    part->payload_offset = 0;
    if (left > MEMORY_INLINE_MAX) {
        uint32_t available;
        uint8_t *room = arena_room(&lane->send, (uint32_t)size, &available);
        if (room) {
            memcpy(room, payload, size);
            part->payload_offset = arena_commit(&lane->send, (uint32_t)size);
            part->flags |= FRAME_IN_ARENA;
        } else {
            size = MEMORY_INLINE_MAX;
        }
    }
    part->payload_length = (uint32_t)size;
    if (size < left)
        part->flags |= FRAME_MORE;
}

void memory_lane_put(struct memory_lane *lane, struct bytes *queue, const struct frame *frame, const uint8_t *body,
                     const uint8_t *payload, size_t count)
{
    struct frame part = *frame;
    size_t left = count;
    do {
        cut(lane, &part, payload, left);
        put_record(lane, queue, &part, body, payload);
        left -= part.payload_length;
        payload = left ? payload + part.payload_length : payload; /* which may be NULL */
    } while (left > 0);
    memory_lane_flush(lane, queue);
}

/* Moves frames that wait into the ring. False: it is full. */
static bool move_queue(struct memory_lane *lane, struct bytes *queue)
{
    while (bytes_length(queue) > 0) {
        struct frame frame;
        frame_decode(&frame, bytes_front(queue));
        size_t size = record_size(&frame);
        uint8_t *room = ring_reserve(&lane->requests, (uint32_t)size);
        if (!room)
            return false;
        memcpy(room, bytes_front(queue), size);
        ring_commit(&lane->requests, (uint32_t)size);
        bytes_take(queue, size);
    }
    bytes_take(queue, 0); /* gives back room that was reserved and turned out not to be needed */
    return true;
}

/* Tells the daemon what was given back. False: the ring is full. Not while frames wait: the parts of a long write
 * follow each other. */
static bool move_releases(struct memory_lane *lane)
{
    while (lane->releases.first) {
        uint8_t *room = ring_reserve(&lane->requests, FRAME_HEADER_SIZE);
        if (!room)
            return false;
        struct data *data = data_queue_pop(&lane->releases);
        struct frame frame = {
            .opcode = FRAME_RELEASE,
            .flags = FRAME_IN_ARENA,
            .payload_length = data->length,
            .payload_offset = data->offset,
        };
        frame_encode(&frame, room);
        ring_commit(&lane->requests, FRAME_HEADER_SIZE);
        lane->released--;
        data_free(data);
    }
    return true;
}

static void publish(struct memory_lane *lane)
{
    if (ring_publish(&lane->requests))
        bell_ring(lane->daemon_bell);
}

void memory_lane_flush(struct memory_lane *lane, struct bytes *queue)
{
    for (int attempt = 0; attempt < FLUSHES; attempt++) {
        bool all = move_queue(lane, queue) && move_releases(lane);
        publish(lane);
        if (all || ring_wait_for_room(&lane->requests))
            return;
    }
    bell_ring(lane->wake_fd); /* and on it goes at the next dispatch */
}

bool memory_lane_has_more(struct memory_lane *lane)
{
    const struct ring_consumer *replies = &lane->replies;
    lane->round_left = RECORDS_PER_ROUND;
    return replies->head != replies->tail ||
           atomic_load_explicit(&replies->shared->head, memory_order_acquire) != replies->tail;
}

static void queue_release(struct memory_lane *lane, struct data *data)
{
    data_queue_push(&lane->releases, data);
    lane->released++;
}

/* Where there is no address space left for the arena, its bytes are read from the file that it is. NULL: no memory. */
static struct data *copy_out(const struct memory_lane *lane, const struct data *data)
{
    if (data->bytes)
        return data_new_copy(data->bytes, data->length);
    struct data *copy = data_new_empty(data->length);
    if (copy && !region_copy(lane->region, data->offset, copy->bytes, copy->length)) {
        data_free(copy);
        return NULL;
    }
    return copy;
}

/* The payload in the receive arena: left there, or copied out if too much is held, or the arena cannot be mapped. NULL:
 * no memory. */
static struct data *take_from_arena(struct memory_lane *lane, const struct frame *frame)
{
    uint32_t block = frame->payload_offset / ARENA_BLOCK;
    uint8_t *mapped = region_block(lane->region, REGION_RECEIVE, block);
    uint8_t *bytes = mapped ? mapped + frame->payload_offset % ARENA_BLOCK : NULL;
    struct data *data = data_new_in_region(lane->region, bytes, frame->payload_offset, frame->payload_length);
    if (!data)
        return NULL;
    if (lane->held[block] == 0) {
        struct data *copy = lane->held_blocks >= lane->held_max || !bytes ? copy_out(lane, data) : NULL;
        if (copy) {
            queue_release(lane, data);
            return copy;
        }
        if (!bytes) {
            data_free(data);
            return NULL;
        }
        lane->held_blocks++;
    }
    lane->held[block]++;
    return data;
}

static bool is_in_arena(const struct memory_lane *lane, const struct frame *frame)
{
    uint32_t offset = frame->payload_offset, length = frame->payload_length;
    return length > 0 && length <= ARENA_BLOCK && offset < lane->region->sizes.receive_arena &&
           offset % ARENA_BLOCK + length <= ARENA_BLOCK;
}

/* The daemon is done with a payload of ours. */
static const char *take_release(struct memory_lane *lane, const struct frame *frame)
{
    if (frame->flags != (FRAME_REPLY | FRAME_IN_ARENA) || frame->body_length != 0)
        return "not a release";
    return arena_release(&lane->send, frame->payload_offset, frame->payload_length) ? NULL
                                                                                    : "a release of what is not held";
}

/* Makes a message of a record that may change under our eyes. NULL, or what is wrong with it. */
static const char *take_record(struct memory_lane *lane, const uint8_t *record, uint32_t size,
                               struct lane_message *message)
{
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame *frame = &message->frame;
    *message = (struct lane_message){.body = lane->body};
    if (size < FRAME_HEADER_SIZE)
        return "a record without a header";
    memcpy(header, record, sizeof header);
    int fault = frame_decode(frame, header);
    if (fault)
        return frame_fault_text(fault);
    if (size != record_size(frame))
        return "a record of another length than its frame";
    memcpy(lane->body, record + FRAME_HEADER_SIZE, frame->body_length);
    if (frame->opcode == FRAME_RELEASE)
        return take_release(lane, frame);

    if (frame->flags & FRAME_IN_ARENA) {
        if (!is_in_arena(lane, frame))
            return "a payload outside of the arena";
        message->data = take_from_arena(lane, frame);
        frame->flags &= (uint16_t)~FRAME_IN_ARENA;
        frame->payload_offset = 0;
    } else if (frame->payload_length > 0) {
        message->data = data_new_copy(record + FRAME_HEADER_SIZE + frame->body_length, frame->payload_length);
    }
    return frame->payload_length > 0 && !message->data ? "no memory for its message" : NULL;
}

int memory_lane_next(struct memory_lane *lane, struct lane_message *message, const char **fault)
{
    while (lane->round_left > 0) {
        const uint8_t *record;
        uint32_t size;
        switch (ring_next(&lane->replies, &record, &size)) {
        case RING_EMPTY:
            return LANE_EMPTY;
        case RING_BROKEN:
            *fault = "a ring with nonsense in it";
            return LANE_FAULT;
        default:
            break;
        }
        lane->round_left--;
        *fault = take_record(lane, record, size, message);
        if (*fault)
            return LANE_FAULT;
        if (message->frame.opcode != FRAME_RELEASE)
            return LANE_MESSAGE;
    }
    return LANE_EMPTY;
}

static bool daemon_is_awake(const struct memory_lane *lane)
{
    return !atomic_load_explicit(&lane->requests.shared->consumer_sleeps, memory_order_relaxed);
}

/* True: there is something to flush, and reason enough. */
static bool is_worth_a_flush(const struct memory_lane *lane, const struct bytes *queue)
{
    return bytes_length(queue) > 0 || lane->released > lane->released_max ||
           (lane->released > 0 && daemon_is_awake(lane));
}

void memory_lane_done(struct memory_lane *lane, struct bytes *queue)
{
    if (ring_release(&lane->replies))
        bell_ring(lane->daemon_bell);
    if (is_worth_a_flush(lane, queue))
        memory_lane_flush(lane, queue);
}

bool memory_lane_sleep(struct memory_lane *lane, struct bytes *queue)
{
    if (is_worth_a_flush(lane, queue))
        memory_lane_flush(lane, queue);
    return ring_sleep(&lane->replies);
}

void memory_lane_wake(const struct memory_lane *lane)
{
    bell_ring(lane->wake_fd);
}

void memory_lane_silence(struct memory_lane *lane)
{
    char rings[64]; /* there are few: the daemon rings once for each time that we sleep */
    ssize_t count;
    do
        count = read(lane->own_bell, rings, sizeof rings);
    while (count < 0 && errno == EINTR);
    lane->bell_is_gone = count == 0;
}

void memory_lane_give_back(struct memory_lane *lane, struct bytes *queue, struct data *data)
{
    if (!data->region || data->region != lane->region) {
        data_free(data); /* a copy, or of an earlier daemon */
        return;
    }
    uint32_t block = data->offset / ARENA_BLOCK;
    lane->held[block]--;
    if (lane->held[block] == 0)
        lane->held_blocks--;
    queue_release(lane, data);
    if (lane->released > lane->released_max)
        memory_lane_flush(lane, queue);
}
