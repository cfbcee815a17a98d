#include "proto/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST = 4096,
    KEPT_WHEN_EMPTY = 128 * 1024, /* bytes: two full reads; more is given back */
};

void bytes_deinit(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

uint8_t *bytes_reserve(struct bytes *bytes, size_t size)
{
    if (bytes->capacity - bytes->tail >= size)
        return bytes->data + bytes->tail;

    size_t length = bytes_length(bytes);
    if (size > SIZE_MAX / 2 - length)
        return NULL;

    /* Moving to the front is enough when that frees at least half of the buffer: so each byte moves at most once
     * for each byte that was taken. */
    if (bytes->capacity - length >= size && bytes->head >= bytes->capacity / 2) {
        memmove(bytes->data, bytes->data + bytes->head, length);
        bytes->head = 0;
        bytes->tail = length;
        return bytes->data + bytes->tail;
    }

    size_t capacity = bytes->capacity > SMALLEST ? bytes->capacity : SMALLEST;
    while (capacity - length < size)
        capacity *= 2;
    uint8_t *data = malloc(capacity);
    if (!data)
        return NULL;
    if (length)
        memcpy(data, bytes_front(bytes), length);
    free(bytes->data);
    bytes->data = data;
    bytes->head = 0;
    bytes->tail = length;
    bytes->capacity = capacity;
    return data + length;
}

void bytes_commit(struct bytes *bytes, size_t size)
{
    assert(size <= bytes->capacity - bytes->tail);
    bytes->tail += size;
}

void bytes_take(struct bytes *bytes, size_t size)
{
    assert(size <= bytes_length(bytes));
    bytes->head += size;
    if (bytes->head < bytes->tail)
        return;
    bytes->head = bytes->tail = 0;
    if (bytes->capacity > KEPT_WHEN_EMPTY)
        bytes_deinit(bytes);
}
