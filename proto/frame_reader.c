#include "proto/frame_reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From here on a payload is received in place; below, one receive call that also brings the next frames is cheaper
 * than a copy saved. */
enum { WORTH_RECEIVING_IN_PLACE = 16 * 1024 };

int frame_reader_init(struct frame_reader *reader)
{
    *reader = (struct frame_reader){0};
    reader->buffer = malloc(FRAME_READER_BUFFER);
    return reader->buffer ? 0 : -ENOMEM;
}

void frame_reader_deinit(struct frame_reader *reader)
{
    free(reader->buffer);
    free(reader->payload);
    *reader = (struct frame_reader){0};
}

static size_t payload_missing(const struct frame_reader *reader)
{
    return reader->payload ? reader->frame.payload_length - reader->payload_filled : 0;
}

static bool receives_in_place(const struct frame_reader *reader)
{
    return reader->head == reader->tail && payload_missing(reader) >= WORTH_RECEIVING_IN_PLACE;
}

uint8_t *frame_reader_room(struct frame_reader *reader, size_t *size)
{
    if (receives_in_place(reader)) {
        *size = payload_missing(reader);
        return reader->payload + reader->payload_filled;
    }
    if (reader->head > 0) {
        memmove(reader->buffer, reader->buffer + reader->head, reader->tail - reader->head);
        reader->tail -= reader->head;
        reader->head = 0;
    }
    *size = FRAME_READER_BUFFER - reader->tail;
    return reader->buffer + reader->tail;
}

void frame_reader_filled(struct frame_reader *reader, size_t size)
{
    if (receives_in_place(reader)) {
        assert(size <= payload_missing(reader));
        reader->payload_filled += size;
    } else {
        assert(size <= FRAME_READER_BUFFER - reader->tail);
        reader->tail += size;
    }
}

/* Moves what the buffer has of the payload under way; true when the payload is whole. */
static bool payload_fill(struct frame_reader *reader)
{
    size_t available = reader->tail - reader->head;
    size_t missing = payload_missing(reader);
    size_t size = available < missing ? available : missing;
    memcpy(reader->payload + reader->payload_filled, reader->buffer + reader->head, size);
    reader->payload_filled += size;
    reader->head += size;
    return size == missing;
}

int frame_reader_next(struct frame_reader *reader, struct frame_message *message)
{
    if (!reader->payload) {
        if (reader->tail - reader->head < FRAME_HEADER_SIZE)
            return FRAME_READER_NEEDS_MORE;
        const uint8_t *start = reader->buffer + reader->head;
        int fault = frame_decode(&reader->frame, start);
        message->frame = reader->frame;
        message->payload = NULL;
        message->body = reader->body;
        if (fault)
            return fault;
        size_t fixed = FRAME_HEADER_SIZE + (size_t)reader->frame.body_length;
        if (reader->tail - reader->head < fixed)
            return FRAME_READER_NEEDS_MORE;
        memcpy(reader->body, start + FRAME_HEADER_SIZE, reader->frame.body_length);
        reader->head += fixed;
        if (reader->frame.payload_length == 0)
            return FRAME_READER_FRAME;
        reader->payload = malloc(reader->frame.payload_length);
        if (!reader->payload)
            return -ENOMEM;
        reader->payload_filled = 0;
    }

    if (!payload_fill(reader))
        return FRAME_READER_NEEDS_MORE;
    message->frame = reader->frame;
    message->body = reader->body;
    message->payload = reader->payload;
    reader->payload = NULL;
    return FRAME_READER_FRAME;
}
