/*
 * An arena: where payloads lie that are too long for a ring.
 *
 * One side allocates from an arena, and the other side only reads from it and says when it is done. The state of the
 * allocator is private to the side that allocates; in shared memory there are bytes and nothing else. So whatever the
 * other side writes there, or says, the allocator's own books stay in order: a release is checked against them, and the
 * worst that a wrong one can do is that bytes of its own session are overwritten too early.
 *
 * The arena is divided into blocks of 256 KiB. Payloads are cut from the current block one after the other, and each
 * block counts the payloads that are still held; at zero the block is free again. Free blocks are taken last in, first
 * out, beginning with the lowest, so that a quiet session stays within few pages.
 *
 * A page of a memfd exists when it is first touched, and where the system has none left, touching is a SIGBUS. So the
 * allocating side can have each part of a block made ready before it is handed out as room, see arena_init_growing();
 * that is also when a client maps it.
 */
#ifndef OCHE_PROTO_ARENA_H
#define OCHE_PROTO_ARENA_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ARENA_BLOCK = 256 * 1024,
    ARENA_SIZE_MAX = 1 << 30, /* bytes */
    ARENA_ALIGNMENT = 64,     /* of payloads: they do not share cache lines */
};

/* Makes the first `size` bytes of a block ready, of which the first `ready` are so already. Returns where the block
 * lies, or NULL: the system does not have the memory now. */
typedef uint8_t *arena_grower(void *owner, uint32_t block, uint32_t ready, uint32_t size);

struct arena_block {
    uint32_t held; /* payloads not yet released, one more while the block is current */
    uint32_t next_free;
    uint32_t ready; /* bytes that may be touched */
    uint8_t *bytes; /* where it lies, once some of it is ready */
};

struct arena {
    arena_grower *grow; /* NULL: all is ready */
    void *owner;
    uint32_t size;
    uint32_t current; /* a block, or block_count: none */
    uint32_t used;    /* bytes of the current block */
    uint32_t first_free;
    uint32_t block_count;
    uint32_t held; /* payloads not yet released, of all blocks */
    struct arena_block *blocks;
};

/* `size` is a multiple of ARENA_BLOCK, from one block to ARENA_SIZE_MAX. 0 or -ENOMEM. */
int arena_init(struct arena *arena, uint8_t *base, uint32_t size);

/* The same for memory that is made ready as it is used: `grow` is called with `owner`. 0 or -ENOMEM. */
int arena_init_growing(struct arena *arena, uint32_t size, arena_grower *grow, void *owner);

/* Payloads may still be held: the memory is about to go. Idempotent. */
void arena_deinit(struct arena *arena);

/* Room for a payload, at least `least` bytes (up to ARENA_BLOCK) and as much more as is ready in the block: its address
 * and *size. NULL: the arena is full until something is released, or cannot grow now. Nothing is taken before
 * arena_commit(). */
uint8_t *arena_room(struct arena *arena, uint32_t least, uint32_t *size);

/* The first `size` bytes of the room, at least one, are a payload now. Returns its offset in the arena. */
uint32_t arena_commit(struct arena *arena, uint32_t size);

/* Of a payload of `size` bytes only the first `less` ones, at least one, are needed: gives the others back if nothing
 * was committed behind it. */
void arena_shrink(struct arena *arena, uint32_t offset, uint32_t size, uint32_t less);

/* The payload at `offset` of `size` bytes is not needed any more. False: there can be no such payload, and nothing has
 * changed. */
bool arena_release(struct arena *arena, uint32_t offset, uint32_t size);

#endif
