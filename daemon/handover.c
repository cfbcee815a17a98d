#include "daemon/handover.h"

#include "daemon/passing.h"
#include "proto/frame.h"

#include <errno.h>

static void say(int fd, enum handover_word word)
{
    struct frame frame = {.opcode = FRAME_HANDOVER, .flags = FRAME_REPLY, .value = word};
    /* Who does not hear it is gone: then there is nobody to tell. */
    (void)passing_send(fd, passing_deadline(0), &frame, NULL, NULL, 0);
}

static int offer_door(int fd, int64_t deadline, int door, const struct rendezvous *rendezvous, uint32_t count)
{
    int descriptors[] = {door, rendezvous->lock_fd};
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .request_id = rendezvous->bound,
        .handle = count,
        .value = HANDOVER_DOOR,
    };
    return passing_send(fd, deadline, &frame, NULL, descriptors, rendezvous->lock_fd >= 0 ? 2 : 1);
}

static int offer_listener(int fd, int64_t deadline, const struct estate_item *item)
{
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .handle = item->handle,
        .value = HANDOVER_LISTENER,
        .payload_length = HANDOVER_TOKEN_SIZE,
    };
    return passing_send(fd, deadline, &frame, item->token, &item->fd, 1);
}

static int hear_answer(int fd, int64_t deadline)
{
    struct frame frame;
    int r = passing_receive(fd, deadline, &frame, NULL, 0, NULL, 0);
    if (r == 0 && (frame.opcode != FRAME_HANDOVER || frame.flags != 0 || frame.value != HANDOVER_TAKE))
        r = -EPROTO;
    return r;
}

int handover_offer(int fd, int64_t limit, int door, const struct rendezvous *rendezvous, const struct estate *estate)
{
    int64_t deadline = passing_deadline(limit);
    int r = offer_door(fd, deadline, door, rendezvous, estate->count);
    for (uint32_t i = 0; i < estate->count && r == 0; i++)
        r = offer_listener(fd, deadline, &estate->items[i]);
    return r < 0 ? r : hear_answer(fd, deadline);
}

void handover_confirm(int fd)
{
    say(fd, HANDOVER_YOURS);
}

void handover_refuse(int fd)
{
    say(fd, HANDOVER_KEPT);
}
