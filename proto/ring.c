#include "proto/ring.h"

#include <assert.h>
#include <string.h>

/* The prefix of a record. A length never exceeds RING_SIZE_MAX, which leaves the highest bit. */
#define SKIP 0x80000000u

static uint32_t padded(uint32_t size)
{
    return RING_RECORD_PREFIX + ((size + 7) & ~7u);
}

static void write_prefix(uint8_t *at, uint32_t prefix)
{
    memcpy(at, &prefix, sizeof prefix);
}

void ring_producer_init(struct ring_producer *ring, struct ring_shared *shared, uint8_t *data, uint32_t size)
{
    assert(size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0);
    *ring = (struct ring_producer){.shared = shared, .data = data, .size = size};
}

void ring_consumer_init(struct ring_consumer *ring, struct ring_shared *shared, const uint8_t *data, uint32_t size)
{
    assert(size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0);
    *ring = (struct ring_consumer){.shared = shared, .data = data, .size = size};
}

uint32_t ring_record_max(uint32_t size)
{
    return size / 2 - RING_RECORD_PREFIX;
}

/* A consumer that claims to be ahead of us, or further behind than the ring is long, is nonsense: then there is no
 * room. */
static uint32_t room(const struct ring_producer *ring)
{
    uint32_t used = ring->head - ring->tail;
    return used <= ring->size ? ring->size - used : 0;
}

static bool has_room(struct ring_producer *ring, uint32_t wanted)
{
    if (room(ring) >= wanted)
        return true;
    ring->tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
    return room(ring) >= wanted;
}

uint8_t *ring_reserve(struct ring_producer *ring, uint32_t size)
{
    assert(size <= ring_record_max(ring->size));
    uint32_t needed = padded(size);
    uint32_t offset = ring->head & (ring->size - 1);
    uint32_t to_end = ring->size - offset;
    if (needed <= to_end)
        return has_room(ring, needed) ? ring->data + offset + RING_RECORD_PREFIX : NULL;
    if (!has_room(ring, to_end + needed))
        return NULL;
    write_prefix(ring->data + offset, SKIP | (to_end - RING_RECORD_PREFIX));
    ring->head += to_end;
    return ring->data + RING_RECORD_PREFIX;
}

void ring_commit(struct ring_producer *ring, uint32_t size)
{
    write_prefix(ring->data + (ring->head & (ring->size - 1)), size);
    ring->head += padded(size);
}

bool ring_publish(struct ring_producer *ring)
{
    if (ring->published == ring->head)
        return false;
    ring->published = ring->head;
    atomic_store(&ring->shared->head, ring->head);
    return atomic_load(&ring->shared->consumer_sleeps) && atomic_exchange(&ring->shared->consumer_sleeps, 0);
}

uint32_t ring_consumed(const struct ring_producer *ring)
{
    return atomic_load_explicit(&ring->shared->tail, memory_order_relaxed);
}

bool ring_wait_for_room(struct ring_producer *ring)
{
    uint32_t seen = ring->tail;
    atomic_store(&ring->shared->producer_waits, 1);
    ring->tail = atomic_load(&ring->shared->tail);
    if (ring->tail == seen)
        return true;
    atomic_store(&ring->shared->producer_waits, 0);
    return false;
}

/* How much there is to take, or more than the ring is long if the producer's position is nonsense. */
static uint32_t available(const struct ring_consumer *ring)
{
    return ring->head - ring->tail;
}

int ring_next(struct ring_consumer *ring, const uint8_t **record, uint32_t *size)
{
    for (;;) {
        if (available(ring) == 0) {
            ring->head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
            if (available(ring) == 0)
                return RING_EMPTY;
        }
        uint32_t offset = ring->tail & (ring->size - 1);
        uint32_t prefix, length, to_end = ring->size - offset;
        if (available(ring) > ring->size || available(ring) < RING_RECORD_PREFIX || offset % 8 != 0)
            return RING_BROKEN;
        /* Once, so that what is checked is what is used. */
        prefix = *(const volatile uint32_t *)(const void *)(ring->data + offset);
        length = prefix & ~SKIP;
        if (length > ring->size || padded(length) > available(ring) || padded(length) > to_end)
            return RING_BROKEN;
        ring->tail += padded(length);
        if (prefix & SKIP)
            continue;
        *record = ring->data + offset + RING_RECORD_PREFIX;
        *size = length;
        return RING_RECORD;
    }
}

bool ring_release(struct ring_consumer *ring)
{
    if (ring->released == ring->tail)
        return false;
    ring->released = ring->tail;
    atomic_store(&ring->shared->tail, ring->tail);
    return atomic_load(&ring->shared->producer_waits) && atomic_exchange(&ring->shared->producer_waits, 0);
}

bool ring_sleep(struct ring_consumer *ring)
{
    atomic_store(&ring->shared->consumer_sleeps, 1);
    ring->head = atomic_load(&ring->shared->head);
    if (available(ring) == 0)
        return true;
    atomic_store(&ring->shared->consumer_sleeps, 0);
    return false;
}
