/*
 * A ring of records in shared memory: one producer, one consumer, in two processes that do not trust each other.
 *
 * What is shared is `struct ring_shared` and `size` bytes of data. Positions count bytes since the beginning, modulo
 * 2^32; each is written by one side only. Everything else (how far this side has come, what it has seen of the other)
 * is private, and what is read from the other side is read once and checked: a hostile peer can make a ring useless,
 * and nothing worse.
 *
 * A record is a prefix of eight bytes (its length, and whether it is only there to skip the end of the ring), then its
 * bytes, always contiguous and aligned to eight.
 *
 * Memory ordering. The producer fills the room behind `head` and then stores `head`; the consumer loads `head` and then
 * reads the records. Release and acquire make the bytes visible before the position. The same holds for `tail` in the
 * other direction: the consumer is done with the bytes before it stores `tail`, and the producer overwrites them after
 * it loaded it.
 *
 * Bells. A consumer that is about to block stores `consumer_sleeps` and then looks at `head` once more; a producer
 * stores `head` and then looks at `consumer_sleeps`. Each side stores one variable and then loads the other's, so
 * release and acquire are not enough: all four accesses are sequentially consistent, hence in one total order, in which
 * at least one side's load comes after the other's store. Either the consumer sees the record and does not block, or
 * the producer sees the sleeper and rings. `producer_waits` and `tail` do the same for a producer that found the ring
 * full.
 */
#ifndef OCHE_PROTO_RING_H
#define OCHE_PROTO_RING_H

#ifndef __cplusplus
#include <stdatomic.h>
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each side's variables have a cache line of their own. */
#ifndef __cplusplus
struct ring_shared {
    _Alignas(64) _Atomic uint32_t head; /* the producer's */
    _Atomic uint32_t producer_waits;
    _Alignas(64) _Atomic uint32_t tail; /* the consumer's */
    _Atomic uint32_t consumer_sleeps;
};

_Static_assert(sizeof(struct ring_shared) == 128, "part of the protocol");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "shared between processes");
#else
/* The same layout for tests, which are C++ and scribble over it. */
struct ring_shared {
    alignas(64) uint32_t head;
    uint32_t producer_waits;
    alignas(64) uint32_t tail;
    uint32_t consumer_sleeps;
};
#endif

enum {
    RING_RECORD_PREFIX = 8,
    RING_SIZE_MIN = 4096, /* a power of two, as every size */
    RING_SIZE_MAX = 1 << 30,
};

struct ring_producer {
    struct ring_shared *shared;
    uint8_t *data;
    uint32_t size;
    uint32_t head;      /* where the next record goes */
    uint32_t published; /* up to where the consumer was told */
    uint32_t tail;      /* as last seen */
};

struct ring_consumer {
    struct ring_shared *shared;
    const uint8_t *data;
    uint32_t size;
    uint32_t tail;     /* where the next record is */
    uint32_t released; /* up to where the producer was told */
    uint32_t head;     /* as last seen */
};

/* `size` is a power of two from RING_SIZE_MIN to RING_SIZE_MAX; `shared` and `data` are all zero, or a ring whose other
 * side is at the beginning. */
void ring_producer_init(struct ring_producer *ring, struct ring_shared *shared, uint8_t *data, uint32_t size);
void ring_consumer_init(struct ring_consumer *ring, struct ring_shared *shared, const uint8_t *data, uint32_t size);

/* The longest record: half of the ring, so that it fits wherever the last one ended. */
uint32_t ring_record_max(uint32_t size);

/* Room for a record of up to `size` bytes, or NULL: the ring is full. Valid until the next reserve. */
uint8_t *ring_reserve(struct ring_producer *ring, uint32_t size);

/* The first `size` bytes of the room, which may be fewer than were reserved, are a record. The consumer sees it after
 * ring_publish(). */
void ring_commit(struct ring_producer *ring, uint32_t size);

/* Shows the consumer what was committed. True: it sleeps, ring its bell. */
bool ring_publish(struct ring_producer *ring);

/* How far the consumer has come, as it says: it changes when the consumer is at work. */
uint32_t ring_consumed(const struct ring_producer *ring);

/* The producer found no room and wants a bell when there is more. True: wait for it. False: there is room already. */
bool ring_wait_for_room(struct ring_producer *ring);

enum ring_condition { RING_EMPTY = 0, RING_RECORD = 1, RING_BROKEN = 2 /* not what a producer writes */ };

/* The next record, which stays where it is, and may change under our eyes, until ring_release(). */
int ring_next(struct ring_consumer *ring, const uint8_t **record, uint32_t *size);

/* Gives the room of all records taken back. True: the producer waits for room, ring its bell. */
bool ring_release(struct ring_consumer *ring);

/* The consumer is about to block. True: do. False: there is a record, or the ring is broken. */
bool ring_sleep(struct ring_consumer *ring);

#endif
