#include <catch2/catch.hpp>

extern "C" {
#include "proto/arena.h"
#include "proto/frame.h"
#include "proto/memory.h"
}

#include <vector>

namespace
{

enum : uint64_t { RING = 256 * 1024, ARENA = 16 * 1024 * 1024 };

} // namespace

TEST_CASE("the parts of the shared memory follow each other, each on a page of its own")
{
    memory_sizes sizes{RING, 2 * RING, ARENA, ARENA / 2};
    std::vector<uint8_t> memory(1);
    uint8_t *base = memory.data();
    memory_map map;
    memory_map_init(&map, base, &sizes);
    CHECK(reinterpret_cast<uint8_t *>(map.request_control) == base);
    CHECK(reinterpret_cast<uint8_t *>(map.reply_control) == base + 128);
    CHECK(map.request_ring == base + 4096);
    CHECK(map.reply_ring == map.request_ring + RING);
    CHECK(map.receive_arena == map.reply_ring + 2 * RING);
    CHECK(map.send_arena == map.receive_arena + ARENA);
    CHECK(memory_total(&sizes) == static_cast<size_t>(map.send_arena - base) + ARENA / 2);
}

TEST_CASE("the longest record that goes through a ring fits the smallest one")
{
    CHECK(FRAME_HEADER_SIZE + FRAME_BODY_MAX + MEMORY_INLINE_MAX <= ring_record_max(64 * 1024));
}

TEST_CASE("sizes of rings and arenas are checked")
{
    CHECK(memory_sizes_are_valid(RING, RING, ARENA, ARENA));
    CHECK(memory_sizes_are_valid(64 * 1024, 64 * 1024, ARENA_BLOCK, ARENA_BLOCK));
    uint64_t bad_ring = GENERATE(0u, 32 * 1024u, 96 * 1024u, 2u * RING_SIZE_MAX, UINT64_C(1) << 40);
    CHECK(!memory_sizes_are_valid(bad_ring, RING, ARENA, ARENA));
    CHECK(!memory_sizes_are_valid(RING, bad_ring, ARENA, ARENA));
    uint64_t bad_arena = GENERATE(0u, 4096u, ARENA_BLOCK + 4096u, 2u * ARENA_SIZE_MAX, UINT64_MAX - ARENA_BLOCK + 1);
    CHECK(!memory_sizes_are_valid(RING, RING, bad_arena, ARENA));
    CHECK(!memory_sizes_are_valid(RING, RING, ARENA, bad_arena));
}
