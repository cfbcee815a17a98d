#include "proto/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { READY_LEAST = 16 * 1024 /* bytes of a block that are made ready first; then as many as there are */ };

int arena_init_growing(struct arena *arena, uint32_t size, arena_grower *grow, void *owner)
{
    assert(size >= ARENA_BLOCK && size <= ARENA_SIZE_MAX && size % ARENA_BLOCK == 0);
    uint32_t count = size / ARENA_BLOCK;
    *arena = (struct arena){.grow = grow, .owner = owner, .size = size, .block_count = count, .current = count};
    arena->blocks = calloc(count, sizeof *arena->blocks);
    if (!arena->blocks)
        return -ENOMEM;
    for (uint32_t index = 0; index < count; index++)
        arena->blocks[index].next_free = index + 1;
    return 0;
}

int arena_init(struct arena *arena, uint8_t *base, uint32_t size)
{
    int error = arena_init_growing(arena, size, NULL, NULL);
    for (uint32_t index = 0; index < arena->block_count && !error; index++) {
        arena->blocks[index].bytes = base + (size_t)index * ARENA_BLOCK;
        arena->blocks[index].ready = ARENA_BLOCK;
    }
    return error;
}

void arena_deinit(struct arena *arena)
{
    free(arena->blocks);
    *arena = (struct arena){0};
}

static void let_go(struct arena *arena, uint32_t index)
{
    struct arena_block *block = &arena->blocks[index];
    block->held--;
    if (block->held > 0)
        return;
    block->next_free = arena->first_free;
    arena->first_free = index;
}

/* Makes a free block the current one. False: there is none. */
static bool turn_over(struct arena *arena)
{
    if (arena->current < arena->block_count) {
        uint32_t last = arena->current;
        arena->current = arena->block_count;
        let_go(arena, last);
    }
    if (arena->first_free == arena->block_count)
        return false;
    arena->current = arena->first_free;
    arena->used = 0;
    arena->first_free = arena->blocks[arena->current].next_free;
    arena->blocks[arena->current].held = 1;
    return true;
}

/* Sees to it that the first `size` bytes of the current block are ready. False: the system has no memory. */
static bool make_ready(struct arena *arena, uint32_t size)
{
    struct arena_block *block = &arena->blocks[arena->current];
    uint32_t ready = block->ready ? block->ready : READY_LEAST;
    if (size <= block->ready)
        return true;
    while (ready < size)
        ready *= 2;
    uint8_t *bytes = arena->grow(arena->owner, arena->current, block->ready, ready);
    if (!bytes)
        return false;
    block->bytes = bytes;
    block->ready = ready;
    return true;
}

uint8_t *arena_room(struct arena *arena, uint32_t least, uint32_t *size)
{
    assert(least <= ARENA_BLOCK);
    if (arena->current == arena->block_count || ARENA_BLOCK - arena->used < least) {
        if (!turn_over(arena))
            return NULL;
    }
    if (!make_ready(arena, arena->used + least))
        return NULL;
    const struct arena_block *block = &arena->blocks[arena->current];
    *size = block->ready - arena->used;
    return block->bytes + arena->used;
}

static uint32_t aligned(uint32_t size)
{
    return (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

uint32_t arena_commit(struct arena *arena, uint32_t size)
{
    assert(arena->current < arena->block_count && size > 0 && size <= ARENA_BLOCK - arena->used);
    uint32_t offset = arena->current * ARENA_BLOCK + arena->used;
    arena->used += aligned(size);
    arena->blocks[arena->current].held++;
    arena->held++;
    return offset;
}

void arena_shrink(struct arena *arena, uint32_t offset, uint32_t size, uint32_t less)
{
    assert(less > 0 && less <= size);
    if (offset / ARENA_BLOCK == arena->current && offset % ARENA_BLOCK + aligned(size) == arena->used)
        arena->used = offset % ARENA_BLOCK + aligned(less);
}

bool arena_release(struct arena *arena, uint32_t offset, uint32_t size)
{
    uint32_t index = offset / ARENA_BLOCK;
    if (size == 0 || size > ARENA_BLOCK || offset >= arena->size || offset % ARENA_ALIGNMENT != 0 ||
        offset % ARENA_BLOCK + size > ARENA_BLOCK)
        return false;
    bool is_current = index == arena->current;
    if (is_current && offset % ARENA_BLOCK + size > arena->used)
        return false;
    if (arena->blocks[index].held <= (is_current ? 1u : 0u))
        return false;
    arena->held--;
    let_go(arena, index);
    /* A current block of which nothing is held is as good as a new one. */
    if (is_current && arena->blocks[index].held == 1)
        arena->used = 0;
    return true;
}
