/*
 * One lane of two, and room for what is to be received.
 *
 * Room is taken where the bytes shall stay, so that nothing copies them: of the arena, or where the next frame goes.
 * The latter cannot be held while other frames are queued. So where the engine's backend holds memory, such a room is
 * memory of its own, and is copied from when it is committed; it is short, for what is long goes to the arena.
 */
#include "daemon/lane/lane.h"

#include "daemon/engine/fd_message.h"
#include "daemon/lane/memory_lane.h"

#include <errno.h>
#include <stdlib.h>

enum { HELD_LITTLE = 4096 /* bytes: room for who is not expected to send more */ };

static bool on_frame(void *owner, struct frame_message *from)
{
    struct lane *lane = owner;
    struct lane_message message = {
        .frame = from->frame,
        .body = from->body,
        .payload = {.data = from->payload, .length = from->frame.payload_length},
    };
    const char *fault = NULL;
    lane->last = from->frame;
    if (lane->memory)
        fault = "a frame in the socket, on the memory lane";
    else if (from->frame.flags & FRAME_IN_ARENA)
        fault = "a payload in an arena, on the plain lane";
    if (fault) {
        free(from->payload);
        lane->user->broken(lane->owner, fault, 0);
        return false;
    }
    return lane->user->frame(lane->owner, &message);
}

static void on_relieved(void *owner)
{
    struct lane *lane = owner;
    if (!lane->congested)
        return;
    lane->congested = false;
    lane->user->relieved(lane->owner);
}

static void on_broken(void *owner, const char *why, int os_error)
{
    struct lane *lane = owner;
    lane->last = lane->plain.reader.frame;
    lane->user->broken(lane->owner, why, os_error);
}

static void on_closed(void *owner)
{
    struct lane *lane = owner;
    lane->user->closed(lane->owner);
}

static const struct plain_lane_user plain_user = {
    .frame = on_frame,
    .relieved = on_relieved,
    .broken = on_broken,
    .closed = on_closed,
};

int lane_init(struct lane *lane, struct time_slice *slice, int fd, const struct lane_user *user, void *owner)
{
    *lane = (struct lane){.engine = slice->engine, .slice = slice, .user = user, .owner = owner};
    return plain_lane_init(&lane->plain, slice, fd, &plain_user, lane);
}

void lane_deinit(struct lane *lane)
{
    memory_lane_free(lane->memory);
    lane->memory = NULL;
    plain_lane_deinit(&lane->plain);
}

void lane_close(struct lane *lane)
{
    if (lane->closed)
        return;
    lane->closed = true;
    if (lane->memory)
        memory_lane_stop(lane->memory);
    plain_lane_close(&lane->plain);
}

/* The socket is empty, so it takes all of it at once, or something is wrong. 0 or a negative errno. */
static int send_with_descriptors(const struct engine_socket *socket, const struct frame *frame, const void *body,
                                 const int descriptors[MEMORY_LANE_DESCRIPTORS])
{
    uint8_t bytes[FD_MESSAGE_SIZE_MAX];
    int size = fd_message_encode(bytes, frame, body);
    if (size < 0)
        return size;
    ssize_t sent = engine_socket_send_now(socket, bytes, (size_t)size, descriptors, MEMORY_LANE_DESCRIPTORS);
    if (sent < 0)
        return (int)sent;
    return sent == size ? 0 : -EMSGSIZE;
}

int lane_move_to_memory(struct lane *lane, const struct memory_sizes *sizes, const struct frame *frame,
                        const void *body, const char **what)
{
    struct memory_lane *memory;
    int descriptors[MEMORY_LANE_DESCRIPTORS];
    int r = memory_lane_new(lane, sizes, &memory, what);
    if (r < 0)
        return r;
    memory_lane_descriptors(memory, descriptors);
    *what = "passing the descriptors";
    r = send_with_descriptors(lane->plain.socket, frame, body, descriptors);
    if (r < 0) {
        memory_lane_free(memory);
        return r;
    }
    memory_lane_start(memory);
    lane->memory = memory;
    return 0;
}

void lane_finish(struct lane *lane)
{
    lane->unheard = true;
    if (lane->memory)
        memory_lane_finish(lane->memory);
}

int lane_put(struct lane *lane, const struct frame *frame, const void *body, const void *payload)
{
    if (lane->unheard)
        return 0;
    return lane->memory ? memory_lane_put(lane->memory, frame, body, payload)
                        : plain_lane_put(&lane->plain, frame, body, payload);
}

static bool reserve(struct lane *lane, bool many, size_t most, struct lane_room *room)
{
    if (lane->memory)
        return memory_lane_reserve(lane->memory, many, most, room);
    size_t size;
    uint8_t *data = plain_lane_room(&lane->plain, &size);
    if (!data) {
        lane->congested = true;
        return false;
    }
    *room = (struct lane_room){.data = data, .size = (uint32_t)(size < most ? size : most), .place = LANE_ROOM_NEXT};
    return true;
}

bool lane_reserve(struct lane *lane, bool many, size_t most, struct lane_room *room)
{
    if (!reserve(lane, many, most, room))
        return false;
    if (room->place == LANE_ROOM_ARENA || !engine_holds_memory(lane->engine))
        return true;
    /* What goes where the next frame goes cannot be held: others may queue frames meanwhile. */
    if (!many && room->size > HELD_LITTLE)
        room->size = HELD_LITTLE;
    room->data = malloc(room->size);
    room->place = LANE_ROOM_OWN;
    if (room->data)
        return true;
    /* As when memory is short for the lane itself: it tries again. */
    *room = (struct lane_room){0};
    lane->congested = true;
    plain_lane_want_relief(&lane->plain);
    return false;
}

int lane_commit(struct lane *lane, struct lane_room *room, struct frame *frame)
{
    int r = 0;
    if (lane->unheard) {
        lane_give_back(lane, room);
        return 0;
    }
    if (room->place == LANE_ROOM_OWN) {
        r = lane_put(lane, frame, NULL, room->data);
        free(room->data);
    } else if (lane->memory) {
        r = memory_lane_commit(lane->memory, room, frame);
    } else {
        plain_lane_put_room(&lane->plain, frame);
    }
    *room = (struct lane_room){0};
    return r;
}

void lane_give_back(struct lane *lane, struct lane_room *room)
{
    if (room->place == LANE_ROOM_OWN)
        free(room->data);
    else if (room->place == LANE_ROOM_ARENA)
        memory_lane_give_back(lane->memory, room);
    *room = (struct lane_room){0};
}

void lane_free_payload(struct lane *lane, struct payload *payload)
{
    if (!payload->in_arena)
        free(payload->data);
    else if (!lane->closed && !lane->unheard)
        memory_lane_free_payload(lane->memory, payload);
    *payload = (struct payload){0};
}

bool lane_is_read(const struct lane *lane)
{
    return plain_lane_is_read(&lane->plain) && (!lane->memory || memory_lane_is_read(lane->memory));
}

bool lane_is_idle(const struct lane *lane)
{
    return lane_is_read(lane) && plain_lane_is_sent(&lane->plain) &&
           (!lane->memory || memory_lane_is_taken(lane->memory));
}

int64_t lane_unfinished_handle(const struct lane *lane)
{
    return lane->plain.reader.payload ? lane->plain.reader.frame.handle : 0;
}

bool lane_release(struct lane *lane, uint32_t offset, uint32_t length)
{
    return lane->memory && memory_lane_release(lane->memory, offset, length);
}
