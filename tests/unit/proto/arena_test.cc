#include <catch2/catch.hpp>

extern "C" {
#include "proto/arena.h"
}

#include <map>
#include <random>
#include <set>
#include <tuple>
#include <vector>

namespace
{

enum { BLOCKS = 8, SIZE = BLOCKS * ARENA_BLOCK };

struct Arena {
    explicit Arena(uint32_t bytes = SIZE) : memory(bytes)
    {
        REQUIRE(arena_init(&arena, memory.data(), bytes) == 0);
    }
    ~Arena()
    {
        arena_deinit(&arena);
    }
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;

    // The offset of a new payload, or -1: full.
    int64_t take(uint32_t size)
    {
        uint32_t available = 0;
        uint8_t *room = arena_room(&arena, size, &available);
        if (!room)
            return -1;
        REQUIRE(available >= size);
        uint32_t offset = arena_commit(&arena, size);
        REQUIRE(room == memory.data() + offset);
        REQUIRE(offset + size <= memory.size());
        return offset;
    }

    std::vector<uint8_t> memory;
    ::arena arena;
};

} // namespace

TEST_CASE("payloads that are held at the same time never overlap")
{
    std::mt19937 random(3);
    Arena arena;
    std::map<int64_t, uint32_t> held;
    for (int step = 0; step < 50000; step++) {
        if (random() % 5 < 3) {
            uint32_t size = 1 + static_cast<uint32_t>(random() % (ARENA_BLOCK >> random() % 17));
            int64_t offset = arena.take(size);
            if (offset < 0)
                continue;
            REQUIRE(offset % ARENA_ALIGNMENT == 0);
            REQUIRE(offset % ARENA_BLOCK + size <= ARENA_BLOCK);
            auto next = held.lower_bound(offset);
            REQUIRE((next == held.end() || offset + size <= next->first));
            REQUIRE((next == held.begin() || std::prev(next)->first + std::prev(next)->second <= offset));
            held[offset] = size;
        } else if (!held.empty()) {
            auto gone = std::next(held.begin(), static_cast<long>(random() % held.size()));
            REQUIRE(arena_release(&arena.arena, static_cast<uint32_t>(gone->first), gone->second));
            held.erase(gone);
        }
        REQUIRE(arena.arena.held == held.size());
    }
}

TEST_CASE("a full arena has room again after a block was released, and all of it after everything was")
{
    Arena arena;
    std::vector<int64_t> offsets;
    for (int round = 0; round < 3; round++) {
        int64_t offset;
        while ((offset = arena.take(ARENA_BLOCK)) >= 0)
            offsets.push_back(offset);
        REQUIRE(offsets.size() == BLOCKS);
        REQUIRE(arena_release(&arena.arena, static_cast<uint32_t>(offsets.back()), ARENA_BLOCK));
        CHECK(arena.take(ARENA_BLOCK) == offsets.back());
        CHECK(arena.take(1) == -1);
        for (int64_t held : offsets)
            REQUIRE(arena_release(&arena.arena, static_cast<uint32_t>(held), ARENA_BLOCK));
        offsets.clear();
    }
}

TEST_CASE("room that is not committed is not taken")
{
    Arena arena;
    uint32_t first, second;
    uint8_t *room = arena_room(&arena.arena, 100, &first);
    CHECK(room == arena_room(&arena.arena, 100, &second));
    CHECK(first == ARENA_BLOCK);
    CHECK(second == ARENA_BLOCK);
}

TEST_CASE("a growing arena hands out what was made ready, in steps that double, and is full where it cannot grow")
{
    struct Ground {
        std::vector<uint8_t> memory = std::vector<uint8_t>(SIZE);
        std::vector<std::tuple<uint32_t, uint32_t, uint32_t>> grown;
        bool barren = false;
        static uint8_t *grow(void *owner, uint32_t block, uint32_t ready, uint32_t size)
        {
            Ground &ground = *static_cast<Ground *>(owner);
            if (ground.barren)
                return nullptr;
            ground.grown.emplace_back(block, ready, size);
            return ground.memory.data() + static_cast<size_t>(block) * ARENA_BLOCK;
        }
    } ground;
    ::arena arena;
    REQUIRE(arena_init_growing(&arena, SIZE, Ground::grow, &ground) == 0);
    uint32_t size = 0;
    CHECK(arena_room(&arena, 100, &size) == ground.memory.data());
    CHECK(size == 16384);
    CHECK(arena_commit(&arena, 16000) == 0);
    ground.barren = true;
    CHECK(arena_room(&arena, 1000, &size) == nullptr);
    CHECK(arena_room(&arena, 100, &size) == ground.memory.data() + 16000); // that is ready already
    CHECK(size == 384);
    ground.barren = false;
    CHECK(arena_room(&arena, 100000, &size) == ground.memory.data() + 16000);
    CHECK(size == 131072 - 16000);
    CHECK(arena_commit(&arena, 100000) == 16000);
    CHECK(arena_room(&arena, 200000, &size) == ground.memory.data() + ARENA_BLOCK);
    CHECK(size == ARENA_BLOCK);
    using Growth = std::vector<std::tuple<uint32_t, uint32_t, uint32_t>>;
    CHECK(ground.grown == Growth{{0, 0, 16384}, {0, 16384, 131072}, {1, 0, ARENA_BLOCK}});
    arena_deinit(&arena);
}

TEST_CASE("an arena that is used a little stays within one block")
{
    Arena arena;
    std::set<int64_t> blocks;
    for (int i = 0; i < 1000; i++) {
        int64_t one = arena.take(3000), other = arena.take(40000);
        blocks.insert(one / ARENA_BLOCK);
        blocks.insert(other / ARENA_BLOCK);
        REQUIRE(arena_release(&arena.arena, static_cast<uint32_t>(one), 3000));
        REQUIRE(arena_release(&arena.arena, static_cast<uint32_t>(other), 40000));
    }
    CHECK(blocks.size() == 1);
}

TEST_CASE("the smallest arena works, one block at a time")
{
    Arena arena(ARENA_BLOCK);
    for (int i = 0; i < 10; i++) {
        int64_t offset = arena.take(ARENA_BLOCK);
        REQUIRE(offset == 0);
        REQUIRE(arena.take(1) == -1);
        REQUIRE(arena_release(&arena.arena, 0, ARENA_BLOCK));
    }
}

TEST_CASE("a release of what cannot be held is refused and changes nothing")
{
    Arena arena;
    REQUIRE(arena.take(1000) == 0);
    auto bad = GENERATE(table<uint32_t, uint32_t>({
        {0, 0},                                 // nothing
        {0, ARENA_BLOCK + 1},                   // longer than a block
        {1, 100},                               // not where a payload begins
        {1024, 100},                            // behind what is used
        {0, 2000},                              // longer than what is used
        {ARENA_BLOCK, 100},                     // in a free block
        {SIZE, 100},                            // behind the arena
        {0xffffffc0, 64},                       // far behind the arena
        {ARENA_BLOCK - ARENA_ALIGNMENT, 65536}, // over the end of the block
    }));
    CHECK(!arena_release(&arena.arena, std::get<0>(bad), std::get<1>(bad)));
    CHECK(arena.arena.held == 1);
    CHECK(arena_release(&arena.arena, 0, 1000));
    CHECK(!arena_release(&arena.arena, 0, 1000));
}

TEST_CASE("random releases never confuse an arena's books")
{
    std::mt19937 random(5);
    Arena arena;
    uint32_t taken = 0, released = 0;
    for (int step = 0; step < 100000; step++) {
        if (random() % 2) {
            if (arena.take(1 + static_cast<uint32_t>(random() % ARENA_BLOCK)) >= 0)
                taken++;
        } else if (arena_release(&arena.arena, static_cast<uint32_t>(random() % (SIZE / 64)) * 64,
                                 static_cast<uint32_t>(random() % ARENA_BLOCK))) {
            released++;
        }
        REQUIRE(arena.arena.held == taken - released);
    }
}

TEST_CASE("what a payload turns out not to need is given back, if nothing was committed behind it")
{
    Arena arena;
    const int64_t first = arena.take(10'000);
    const int64_t second = arena.take(10'000);
    // Not the last one: the room behind it is somebody's.
    arena_shrink(&arena.arena, static_cast<uint32_t>(first), 10'000, 100);
    CHECK(arena.take(1) > second + 10'000);
    const int64_t last = arena.take(50'000);
    arena_shrink(&arena.arena, static_cast<uint32_t>(last), 50'000, 65);
    const int64_t next = arena.take(1);
    CHECK(next == last + 2 * ARENA_ALIGNMENT);
    // Each is released with the size that it has now.
    CHECK_FALSE(arena_release(&arena.arena, static_cast<uint32_t>(last), 50'000));
    CHECK(arena_release(&arena.arena, static_cast<uint32_t>(last), 65));
    CHECK(arena_release(&arena.arena, static_cast<uint32_t>(first), 100));
    CHECK(arena_release(&arena.arena, static_cast<uint32_t>(next), 1));
}

TEST_CASE("a payload that shrinks in a block that is not the current one leaves the current one alone")
{
    Arena arena;
    const int64_t full = arena.take(ARENA_BLOCK);
    const int64_t current = arena.take(ARENA_BLOCK);
    arena_shrink(&arena.arena, static_cast<uint32_t>(full), ARENA_BLOCK, 1);
    const int64_t next = arena.take(1);
    CHECK(next / ARENA_BLOCK != current / ARENA_BLOCK);
    CHECK(next / ARENA_BLOCK != full / ARENA_BLOCK);
    CHECK(arena_release(&arena.arena, static_cast<uint32_t>(full), 1));
}
