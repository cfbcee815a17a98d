/*
 * Frames out of a stream of bytes: the input side of the plain lane.
 *
 * The owner receives into the room that the reader offers, says how much came, and takes frames until there are none.
 * Headers and bodies go through a buffer of 64 KiB; a payload gets memory of its own, exactly its size, which the
 * taker of the frame owns. The rest of a long payload is received straight into that memory.
 */
#ifndef OCHE_PROTO_FRAME_READER_H
#define OCHE_PROTO_FRAME_READER_H

#include "proto/frame.h"

struct frame_reader {
    uint8_t *buffer; /* FRAME_READER_BUFFER bytes, [head, tail) not yet taken */
    size_t head;
    size_t tail;
    struct frame frame; /* the frame whose payload is under way, if payload is not NULL */
    uint8_t body[FRAME_BODY_MAX];
    uint8_t *payload;
    size_t payload_filled;
};

struct frame_message {
    struct frame frame;
    const uint8_t *body; /* frame.body_length bytes, valid until the next call on the reader */
    uint8_t *payload;    /* frame.payload_length bytes from malloc(), now the taker's; NULL if there are none */
};

enum { FRAME_READER_BUFFER = 64 * 1024 };

/* What frame_reader_next() returns besides a frame_fault (positive) and -ENOMEM. */
enum { FRAME_READER_NEEDS_MORE = 0, FRAME_READER_FRAME = 1 };

/* Returns 0 or -ENOMEM. */
int frame_reader_init(struct frame_reader *reader);
void frame_reader_deinit(struct frame_reader *reader);

/* Where the next bytes of the stream belong, and how many fit: at least one. */
uint8_t *frame_reader_room(struct frame_reader *reader, size_t *size);

/* `size` bytes were put there. */
void frame_reader_filled(struct frame_reader *reader, size_t size);

/* Takes the next whole frame. FRAME_READER_FRAME: *message is it. FRAME_READER_NEEDS_MORE: receive first. A
 * frame_fault: the stream is malformed, and message->frame is the header at fault. -ENOMEM: no memory for a payload.
 * After a fault or -ENOMEM the reader can only be deinitialised. */
int frame_reader_next(struct frame_reader *reader, struct frame_message *message);

#endif
