#include "proto/memory.h"

#include "proto/arena.h"

enum { RING_SMALLEST = 64 * 1024 };

static bool is_ring_size(uint64_t size)
{
    return size >= RING_SMALLEST && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

static bool is_arena_size(uint64_t size)
{
    return size >= ARENA_BLOCK && size <= ARENA_SIZE_MAX && size % ARENA_BLOCK == 0;
}

bool memory_sizes_are_valid(uint64_t request_ring, uint64_t reply_ring, uint64_t receive_arena, uint64_t send_arena)
{
    if (!is_ring_size(request_ring) || !is_ring_size(reply_ring) || !is_arena_size(receive_arena) ||
        !is_arena_size(send_arena))
        return false;
    /* On a 32-bit client the sum of four lawful sizes may be more than it can address. */
    return MEMORY_CONTROL_SIZE + request_ring + reply_ring + receive_arena + send_arena <= (uint64_t)(SIZE_MAX / 2);
}

size_t memory_rings_end(const struct memory_sizes *sizes)
{
    return (size_t)MEMORY_CONTROL_SIZE + sizes->request_ring + sizes->reply_ring;
}

size_t memory_total(const struct memory_sizes *sizes)
{
    return memory_rings_end(sizes) + sizes->receive_arena + sizes->send_arena;
}

void memory_map_init_rings(struct memory_map *map, uint8_t *base, const struct memory_sizes *sizes)
{
    *map = (struct memory_map){
        .request_control = (struct ring_shared *)(void *)base,
        .reply_control = (struct ring_shared *)(void *)base + 1,
        .request_ring = base + MEMORY_CONTROL_SIZE,
        .reply_ring = base + MEMORY_CONTROL_SIZE + sizes->request_ring,
    };
}

void memory_map_init(struct memory_map *map, uint8_t *base, const struct memory_sizes *sizes)
{
    memory_map_init_rings(map, base, sizes);
    map->receive_arena = base + memory_rings_end(sizes);
    map->send_arena = map->receive_arena + sizes->receive_arena;
}
