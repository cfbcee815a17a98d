#include "daemon/lane/memory_lane.h"

#include "daemon/lane/memory.h"
#include "proto/arena.h"
#include "proto/bytes.h"
#include "proto/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    RECORDS_PER_TURN = 512,  /* then others have their turn */
    TINY = 512,              /* bytes: data so short ride in the ring even if an arena was at hand */
    ARENA_LEAST = 16 * 1024, /* bytes: a receive into less is not worth a block's rest */
    HELD_MOST = 128 * 1024,  /* bytes: many receives may be under way, each with its room */
    ROOM_ATTEMPTS = 16,
    DEAF = 4 * 1024 * 1024, /* bytes of overflow: no more requests are taken */
    WITHHELD_MAX = 64,      /* quiet answers that wait for company */
    WITHHELD_MS = 10,       /* … so long at most */
    OVERFLOW_PREFIX = 4,    /* bytes: the length of a record that waits */
};

struct memory_lane {
    struct lane *lane;
    struct memory shared;
    int own_bell_fd;      /* the bell's, once there is one */
    int client_bell_fd;   /* the end to write to */
    int client_listen_fd; /* the other end; -1 once the client has it */
    struct engine_bell *bell;
    struct ring_consumer requests;
    struct ring_producer replies;
    struct arena receive;
    struct bytes overflow;        /* records that found the ring full, each behind its length */
    struct engine_deferred flush; /* shows the client what the turn has produced */
    struct engine_timer withheld_timer;
    bool withheld_timer_runs;
    unsigned withheld;        /* quiet answers since the last flush: not worth a bell */
    uint32_t withheld_bytes;  /* of payloads whose RELEASE waits with them */
    struct engine_work drain; /* takes requests when the slice has its turn */
    uint8_t body[FRAME_BODY_MAX];
};

/* EAGAIN: the client does not listen, which is its own loss. EPIPE: the same, and it will hang up. */
static void ring_client(const struct memory_lane *memory)
{
    while (write(memory->client_bell_fd, "", 1) < 0 && errno == EINTR) {
    }
}

/* ---- replies ---- */

static void write_record(uint8_t *out, const struct frame *frame, const void *body, const void *payload,
                         uint32_t payload_length)
{
    assert((body || !frame->body_length) && (payload || !payload_length));
    frame_encode(frame, out);
    if (frame->body_length)
        memcpy(out + FRAME_HEADER_SIZE, body, frame->body_length);
    if (payload_length)
        memcpy(out + FRAME_HEADER_SIZE + frame->body_length, payload, payload_length);
}

/*
 * An answer that nobody waits for does not wake the client: it goes with the next one that somebody does. That a
 * payload is released is news only when the client's arena may run short, so that waits in the same way.
 */
static void withhold(struct memory_lane *memory, const struct frame *frame)
{
    if (frame->opcode == FRAME_RELEASE)
        memory->withheld_bytes += frame->payload_length;
    else
        memory->withheld++;
    if (memory->withheld >= WITHHELD_MAX || memory->withheld_bytes >= memory->shared.sizes.send_arena / 8)
        engine_defer(memory->lane->engine, &memory->flush);
    if (!memory->withheld_timer_runs)
        engine_timer_set(&memory->withheld_timer, WITHHELD_MS);
    memory->withheld_timer_runs = true;
}

static void on_withheld_long(void *owner)
{
    struct memory_lane *memory = owner;
    memory->withheld_timer_runs = false;
    if ((memory->withheld > 0 || memory->withheld_bytes > 0) && !memory->lane->closed)
        engine_defer(memory->lane->engine, &memory->flush);
}

int memory_lane_put(struct memory_lane *memory, const struct frame *frame, const void *body, const void *payload)
{
    uint32_t payload_length = frame->flags & FRAME_IN_ARENA ? 0 : frame->payload_length;
    uint32_t size = FRAME_HEADER_SIZE + (uint32_t)frame->body_length + payload_length;
    if (frame->flags & FRAME_QUIET || frame->opcode == FRAME_RELEASE)
        withhold(memory, frame);
    else
        engine_defer(memory->lane->engine, &memory->flush);
    if (bytes_length(&memory->overflow) == 0) {
        uint8_t *record = ring_reserve(&memory->replies, size);
        if (record) {
            write_record(record, frame, body, payload, payload_length);
            ring_commit(&memory->replies, size);
            return 0;
        }
    }
    uint8_t *out = bytes_reserve(&memory->overflow, OVERFLOW_PREFIX + (size_t)size);
    if (!out)
        return -ENOMEM;
    memcpy(out, &size, OVERFLOW_PREFIX);
    write_record(out + OVERFLOW_PREFIX, frame, body, payload, payload_length);
    bytes_commit(&memory->overflow, OVERFLOW_PREFIX + (size_t)size);
    return 0;
}

/* Moves what waits into the ring, as far as there is room. */
static void move_overflow(struct memory_lane *memory)
{
    while (bytes_length(&memory->overflow) > 0) {
        uint32_t size;
        memcpy(&size, bytes_front(&memory->overflow), OVERFLOW_PREFIX);
        uint8_t *record = ring_reserve(&memory->replies, size);
        if (!record)
            return;
        memcpy(record, bytes_front(&memory->overflow) + OVERFLOW_PREFIX, size);
        ring_commit(&memory->replies, size);
        bytes_take(&memory->overflow, OVERFLOW_PREFIX + (size_t)size);
    }
}

static bool has_ring_room(struct memory_lane *memory)
{
    return bytes_length(&memory->overflow) == 0 &&
           ring_reserve(&memory->replies, FRAME_HEADER_SIZE + MEMORY_INLINE_MAX);
}

/* Room may have appeared: uses it, and asks for a bell when there is still not enough. */
static void use_room(struct memory_lane *memory)
{
    struct lane *lane = memory->lane;
    for (int attempt = 0; attempt < ROOM_ATTEMPTS; attempt++) {
        move_overflow(memory);
        if (bytes_length(&memory->overflow) == 0 && !lane->congested)
            return;
        if (has_ring_room(memory)) {
            lane->congested = false;
            lane->user->relieved(lane->owner);
            return;
        }
        if (ring_publish(&memory->replies))
            ring_client(memory);
        if (lane->closed || ring_wait_for_room(&memory->replies))
            return;
    }
    /* A client that takes records as fast as we look, or pretends to: others have their turn. */
    engine_defer(lane->engine, &memory->flush);
}

static void on_flush(struct engine_deferred *deferred)
{
    struct memory_lane *memory = list_entry(deferred, struct memory_lane, flush);
    memory->withheld = memory->withheld_bytes = 0;
    use_room(memory);
    if (!memory->lane->closed && ring_publish(&memory->replies))
        ring_client(memory);
}

/* Takes room of the arena. */
static bool reserve_arena(struct memory_lane *memory, size_t most, struct lane_room *room)
{
    uint32_t size;
    uint8_t *data = arena_room(&memory->receive, ARENA_LEAST, &size);
    if (!data)
        return false;
    if (engine_holds_memory(memory->lane->engine) && size > HELD_MOST)
        size = HELD_MOST;
    if (size > most)
        size = (uint32_t)most;
    *room = (struct lane_room){.data = data, .size = size, .place = LANE_ROOM_ARENA};
    room->offset = arena_commit(&memory->receive, size);
    return true;
}

bool memory_lane_reserve(struct memory_lane *memory, bool many, size_t most, struct lane_room *room)
{
    if (many && bytes_length(&memory->overflow) == 0 && reserve_arena(memory, most, room))
        return true;
    if (has_ring_room(memory)) {
        *room = (struct lane_room){
            .data = ring_reserve(&memory->replies, FRAME_HEADER_SIZE + MEMORY_INLINE_MAX) + FRAME_HEADER_SIZE,
            .size = (uint32_t)(most < MEMORY_INLINE_MAX ? most : MEMORY_INLINE_MAX),
            .place = LANE_ROOM_NEXT,
        };
        return true;
    }
    memory->lane->congested = true;
    engine_defer(memory->lane->engine, &memory->flush);
    return false;
}

int memory_lane_commit(struct memory_lane *memory, const struct lane_room *room, struct frame *frame)
{
    uint32_t length = frame->payload_length;
    if (room->place == LANE_ROOM_ARENA && length <= TINY) {
        int r = memory_lane_put(memory, frame, NULL, room->data);
        arena_release(&memory->receive, room->offset, room->size);
        return r;
    }
    if (room->place == LANE_ROOM_ARENA) {
        arena_shrink(&memory->receive, room->offset, room->size, length);
        frame->flags |= FRAME_IN_ARENA;
        frame->payload_offset = room->offset;
        return memory_lane_put(memory, frame, NULL, NULL);
    }
    uint8_t *record = ring_reserve(&memory->replies, FRAME_HEADER_SIZE + MEMORY_INLINE_MAX);
    frame_encode(frame, record);
    ring_commit(&memory->replies, FRAME_HEADER_SIZE + length);
    engine_defer(memory->lane->engine, &memory->flush);
    return 0;
}

void memory_lane_give_back(struct memory_lane *memory, const struct lane_room *room)
{
    arena_release(&memory->receive, room->offset, room->size);
}

bool memory_lane_release(struct memory_lane *memory, uint32_t offset, uint32_t length)
{
    return arena_release(&memory->receive, offset, length);
}

/* ---- requests ---- */

static const char no_memory[] = "no memory for a payload";

/* Finds the payload that the client has sent; what a RELEASE names is ours. NULL, or what is wrong. */
static const char *take_payload(struct memory_lane *memory, const struct frame *frame, const uint8_t *inline_bytes,
                                struct payload *payload)
{
    if (frame->opcode == FRAME_RELEASE || frame->payload_length == 0)
        return NULL;
    if (frame->flags & FRAME_IN_ARENA) {
        if (frame->payload_offset >= memory->shared.sizes.send_arena ||
            frame->payload_length > memory->shared.sizes.send_arena - frame->payload_offset)
            return "a payload outside of the arena";
        payload->in_arena = true;
        payload->offset = frame->payload_offset;
        payload->data = memory->shared.map.send_arena + frame->payload_offset;
        payload->length = frame->payload_length;
        return NULL;
    }
    payload->data = malloc(frame->payload_length);
    if (!payload->data)
        return no_memory;
    memcpy(payload->data, inline_bytes, frame->payload_length);
    payload->length = frame->payload_length;
    return NULL;
}

/* Hands one record to the session. False: the lane is closed. */
static bool take_record(struct memory_lane *memory, const uint8_t *record, uint32_t size)
{
    struct lane *lane = memory->lane;
    struct lane_message message = {.body = memory->body};
    const struct frame *frame = &message.frame;
    const char *fault = NULL;
    if (size < FRAME_HEADER_SIZE) {
        lane->user->broken(lane->owner, "a record shorter than a header", 0);
        return false;
    }
    int r = frame_decode(&message.frame, record);
    lane->last = message.frame;
    uint32_t inline_length = frame->flags & FRAME_IN_ARENA ? 0 : frame->payload_length;
    if (r != 0)
        fault = frame_fault_text(r);
    else if (size != FRAME_HEADER_SIZE + (uint32_t)frame->body_length + inline_length)
        fault = "a record of another length than its frame";
    if (!fault) {
        memcpy(memory->body, record + FRAME_HEADER_SIZE, frame->body_length);
        fault = take_payload(memory, frame, record + FRAME_HEADER_SIZE + frame->body_length, &message.payload);
    }
    if (fault) {
        lane->user->broken(lane->owner, fault, fault == no_memory ? ENOMEM : 0);
        return false;
    }
    return lane->user->frame(lane->owner, &message);
}

static void release_requests(struct memory_lane *memory)
{
    if (ring_release(&memory->requests))
        ring_client(memory);
}

static void take_requests(struct memory_lane *memory)
{
    struct lane *lane = memory->lane;
    for (int count = 0; count < RECORDS_PER_TURN; count++) {
        const uint8_t *record;
        uint32_t size;
        /* Moving overflow is what wakes us from this. */
        if (bytes_length(&memory->overflow) > DEAF)
            return;
        int r = ring_next(&memory->requests, &record, &size);
        if (r == RING_BROKEN) {
            lane->user->broken(lane->owner, "a ring that no client writes", 0);
            return;
        }
        if (r == RING_EMPTY) {
            release_requests(memory);
            if (lane->closed || ring_sleep(&memory->requests))
                return;
        } else if (!take_record(memory, record, size)) {
            return;
        } else if (time_slice_is_spent(lane->slice)) {
            break;
        }
    }
    release_requests(memory);
    engine_work_submit(&memory->drain);
}

/* The ring is full at most once: whoever still writes to it is not the client, or not a correct one. */
void memory_lane_finish(struct memory_lane *memory)
{
    memory_lane_stop(memory);
    for (uint32_t count = memory->shared.sizes.request_ring / FRAME_HEADER_SIZE; count > 0; count--) {
        const uint8_t *record;
        uint32_t size;
        if (ring_next(&memory->requests, &record, &size) != RING_RECORD || !take_record(memory, record, size))
            return;
    }
}

static void on_bell(void *owner)
{
    struct memory_lane *memory = owner;
    if (memory->lane->closed || memory->lane->unheard)
        return;
    if (memory->lane->congested || bytes_length(&memory->overflow) > 0)
        engine_defer(memory->lane->engine, &memory->flush);
    engine_work_submit(&memory->drain);
}

static void on_drain(struct engine_work *work)
{
    take_requests(list_entry(work, struct memory_lane, drain));
}

void memory_lane_free_payload(struct memory_lane *memory, const struct payload *payload)
{
    struct frame frame = {
        .opcode = FRAME_RELEASE,
        .flags = FRAME_REPLY | FRAME_IN_ARENA,
        .payload_length = payload->length,
        .payload_offset = payload->offset,
    };
    struct lane *lane = memory->lane;
    if (memory_lane_put(memory, &frame, NULL, NULL) < 0)
        lane->user->broken(lane->owner, "out of memory", ENOMEM);
}

bool memory_lane_is_read(const struct memory_lane *memory)
{
    return list_is_empty(&memory->drain.node) &&
           atomic_load(&memory->shared.map.request_control->head) == memory->requests.tail;
}

bool memory_lane_is_taken(const struct memory_lane *memory)
{
    return bytes_length(&memory->overflow) == 0 && memory->withheld == 0 && memory->withheld_bytes == 0 &&
           list_is_empty(&memory->flush.node) &&
           atomic_load(&memory->shared.map.reply_control->tail) == memory->replies.published;
}

/* ---- making and unmaking ---- */

static int make_memory(struct memory_lane *memory, const struct memory_sizes *sizes, const char **what)
{
    struct memory *shared = &memory->shared;
    int r = memory_init(shared, sizes, what);
    if (r < 0)
        return r;
    ring_consumer_init(&memory->requests, shared->map.request_control, shared->map.request_ring, sizes->request_ring);
    ring_producer_init(&memory->replies, shared->map.reply_control, shared->map.reply_ring, sizes->reply_ring);
    *what = "the arena's books";
    return arena_init_growing(&memory->receive, sizes->receive_arena, memory_grow_receive, shared);
}

/*
 * Ours is an eventfd: it is only ever read without blocking. The client's is a pipe and not an eventfd, which would be
 * one open file for both sides: the client could make it block, and our write would hold up the whole worker. The end
 * of a pipe that we write to is ours alone.
 */
static int make_bells(struct memory_lane *memory, const char **what)
{
    int ends[2];
    *what = "eventfd";
    memory->own_bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (memory->own_bell_fd < 0)
        return -errno;
    *what = "pipe";
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    memory->client_listen_fd = ends[0];
    memory->client_bell_fd = ends[1];
    *what = "listening to the bell";
    memory->bell = engine_bell_new(memory->lane->engine, memory->own_bell_fd, on_bell, memory);
    return memory->bell ? 0 : -ENOMEM;
}

int memory_lane_new(struct lane *lane, const struct memory_sizes *sizes, struct memory_lane **memory, const char **what)
{
    *what = "memory";
    struct memory_lane *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->lane = lane;
    made->shared.fd = made->own_bell_fd = made->client_bell_fd = made->client_listen_fd = -1;
    made->flush.run = on_flush;
    made->drain.run = on_drain;
    made->drain.slice = lane->slice;
    list_init(&made->flush.node);
    list_init(&made->drain.node);
    engine_timer_init(&made->withheld_timer, lane->engine, on_withheld_long, made);
    int r = make_memory(made, sizes, what);
    if (r == 0)
        r = make_bells(made, what);
    if (r < 0) {
        memory_lane_free(made);
        return r;
    }
    *memory = made;
    return 0;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void memory_lane_free(struct memory_lane *memory)
{
    if (!memory)
        return;
    memory_lane_stop(memory);
    if (memory->bell)
        memory->own_bell_fd = -1; /* which is closed with it */
    engine_bell_free(memory->bell);
    arena_deinit(&memory->receive);
    bytes_deinit(&memory->overflow);
    memory_deinit(&memory->shared);
    close_if_open(&memory->own_bell_fd);
    close_if_open(&memory->client_bell_fd);
    close_if_open(&memory->client_listen_fd);
    free(memory);
}

void memory_lane_stop(struct memory_lane *memory)
{
    engine_deferred_cancel(&memory->flush);
    engine_work_cancel(&memory->drain);
    engine_timer_cancel(&memory->withheld_timer);
}

void memory_lane_descriptors(const struct memory_lane *memory, int descriptors[MEMORY_LANE_DESCRIPTORS])
{
    descriptors[0] = memory->shared.fd;
    descriptors[1] = memory->client_listen_fd;
    descriptors[2] = memory->own_bell_fd;
}

void memory_lane_start(struct memory_lane *memory)
{
    memory_close(&memory->shared);
    close_if_open(&memory->client_listen_fd);
    /* The client may have been quicker than we: look, and then sleep. */
    engine_work_submit(&memory->drain);
}
