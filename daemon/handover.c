#include "daemon/handover.h"

#include "daemon/passing.h"
#include "proto/endian.h"
#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct handover {
    struct engine_socket *socket;
    struct engine_timer *timer;
    void (*answered)(void *owner, int error);
    void *owner;
    struct handover_offer offer;

    /* What is being said: the door, and then the listeners. */
    uint32_t item;                                         /* 0: the door */
    uint8_t said[FRAME_HEADER_SIZE + HANDOVER_TOKEN_SIZE]; /* a token, or the id of a file, which is as long */
    size_t said_size;
    size_t said_sent;
    int descriptors[2];
    int descriptor_count;

    /* The answer. */
    uint8_t heard[FRAME_HEADER_SIZE];
    size_t heard_size;
};

/* ---- saying ---- */

static void say_door(struct handover *handover)
{
    const struct rendezvous *rendezvous = handover->offer.rendezvous;
    struct file_id file = rendezvous->own.socket;
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .request_id = file.inode != 0,
        .handle = handover->offer.estate->count,
        .value = HANDOVER_DOOR,
        .payload_length = HANDOVER_TOKEN_SIZE,
    };
    frame_encode(&frame, handover->said);
    put_u64(handover->said + FRAME_HEADER_SIZE, file.device);
    put_u64(handover->said + FRAME_HEADER_SIZE + 8, file.inode);
    handover->said_size = sizeof handover->said;
    handover->descriptors[0] = handover->offer.door;
    handover->descriptors[1] = rendezvous->lock_fd;
    handover->descriptor_count = rendezvous->lock_fd >= 0 ? 2 : 1;
}

static void say_listener(struct handover *handover, const struct estate_item *item)
{
    struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .handle = item->handle,
        .value = HANDOVER_LISTENER,
        .payload_length = HANDOVER_TOKEN_SIZE,
    };
    frame_encode(&frame, handover->said);
    memcpy(handover->said + FRAME_HEADER_SIZE, item->token, HANDOVER_TOKEN_SIZE);
    handover->said_size = sizeof handover->said;
    handover->descriptors[0] = item->fd;
    handover->descriptor_count = 1;
}

static void say_item(struct handover *handover)
{
    if (handover->item == 0)
        say_door(handover);
    else
        say_listener(handover, &handover->offer.estate->items[handover->item - 1]);
    handover->said_sent = 0;
    engine_send(handover->socket);
}

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    struct handover *handover = owner;
    (void)max;
    vectors[0].iov_base = handover->said + handover->said_sent;
    vectors[0].iov_len = handover->said_size - handover->said_sent;
    return 1;
}

static int on_send_descriptors(void *owner, const int **descriptors)
{
    struct handover *handover = owner;
    *descriptors = handover->descriptors;
    return handover->said_sent == 0 ? handover->descriptor_count : 0;
}

static void on_sent(void *owner, ssize_t result)
{
    struct handover *handover = owner;
    if (result < 0) {
        handover->answered(handover->owner, (int)result);
        return;
    }
    handover->said_sent += (size_t)result;
    if (handover->said_sent < handover->said_size) {
        engine_send(handover->socket);
    } else if (handover->item < handover->offer.estate->count) {
        handover->item++;
        say_item(handover);
    } else {
        engine_recv(handover->socket);
    }
}

/* ---- hearing ---- */

static uint8_t *on_receive_buffer(void *owner, size_t *size)
{
    struct handover *handover = owner;
    *size = sizeof handover->heard - handover->heard_size;
    return handover->heard + handover->heard_size;
}

static bool is_taken(const uint8_t heard[FRAME_HEADER_SIZE])
{
    struct frame frame;
    return frame_decode(&frame, heard) == 0 && frame.opcode == FRAME_HANDOVER && frame.flags == 0 &&
           frame.value == HANDOVER_TAKE && frame.body_length == 0 && frame.payload_length == 0;
}

static void on_received(void *owner, ssize_t result)
{
    struct handover *handover = owner;
    if (result <= 0) {
        handover->answered(handover->owner, result == 0 ? -ECONNRESET : (int)result);
        return;
    }
    handover->heard_size += (size_t)result;
    if (handover->heard_size < sizeof handover->heard) {
        engine_recv(handover->socket);
        return;
    }
    engine_timer_cancel(handover->timer);
    handover->answered(handover->owner, is_taken(handover->heard) ? 0 : -EPROTO);
}

static void on_timeout(void *owner)
{
    struct handover *handover = owner;
    handover->answered(handover->owner, -ETIMEDOUT);
}

static void on_closed(void *owner)
{
    free(owner);
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .send_vectors = on_send_vectors,
    .send_descriptors = on_send_descriptors,
    .sent = on_sent,
    .closed = on_closed,
};

/* ---- beginning and end ---- */

struct handover *handover_new(struct engine_share *share, int fd, void (*answered)(void *owner, int error), void *owner)
{
    struct handover *handover = calloc(1, sizeof *handover);
    if (!handover)
        return NULL;
    handover->answered = answered;
    handover->owner = owner;
    handover->timer = engine_timer_new(share->engine, on_timeout, handover);
    if (handover->timer)
        handover->socket = engine_socket_new(share, fd, &handlers, handover);
    if (handover->socket)
        return handover;
    engine_timer_free(handover->timer);
    free(handover);
    return NULL;
}

void handover_offer(struct handover *handover, const struct handover_offer *offer, uint64_t limit)
{
    handover->offer = *offer;
    engine_timer_set(handover->timer, limit);
    say_item(handover);
}

static void end(struct handover *handover, enum handover_word word)
{
    struct frame frame = {.opcode = FRAME_HANDOVER, .flags = FRAME_REPLY, .value = word};
    /* Who does not hear it is gone, or has not read what it was offered: then the end of the connection says it. */
    (void)passing_send(engine_socket_fd(handover->socket), passing_deadline(0), &frame, NULL, NULL, 0);
    engine_timer_free(handover->timer);
    handover->timer = NULL;
    engine_socket_close(handover->socket);
}

void handover_confirm(struct handover *handover)
{
    end(handover, HANDOVER_YOURS);
}

void handover_refuse(struct handover *handover)
{
    end(handover, HANDOVER_KEPT);
}
