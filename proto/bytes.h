/*
 * A queue of bytes: appended at the tail, taken from the head. The output side of the plain lane.
 *
 * One growing buffer. Taking everything gives a large buffer back to the allocator, so that a session which was busy
 * once does not hold its peak for ever.
 */
#ifndef OCHE_PROTO_BYTES_H
#define OCHE_PROTO_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t head;
    size_t tail;
    size_t capacity;
};

/* All zero is an empty queue: `struct bytes b = {0}` needs no init. */
void bytes_deinit(struct bytes *bytes);

static inline size_t bytes_length(const struct bytes *bytes)
{
    return bytes->tail - bytes->head;
}

static inline const uint8_t *bytes_front(const struct bytes *bytes)
{
    return bytes->data + bytes->head;
}

/* Room for at least `size` more bytes at the tail; write there, then bytes_commit(). The address is valid until the
 * next call that is not const. NULL: out of memory, the queue is unchanged. */
uint8_t *bytes_reserve(struct bytes *bytes, size_t size);

/* The first `size` bytes of the reserved room now belong to the queue. */
void bytes_commit(struct bytes *bytes, size_t size);

/* Drops `size` bytes from the head; `size` is at most bytes_length(). */
void bytes_take(struct bytes *bytes, size_t size);

#endif
