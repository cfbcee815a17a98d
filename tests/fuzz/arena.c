/*
 * An arena, against a list of the payloads that are held: they do not overlap, and all of the room comes back. And with
 * releases of what is not held, that it hands out no room but its own.
 */
#include "proto/arena.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/target.h"

enum { BLOCKS_MAX = 8, HELD_MAX = 512 };

struct payload {
    uint32_t offset, size;
};

static struct arena arena;
static struct payload held[HELD_MAX];
static uint32_t held_count;
static bool lied;

/* Never touched. */
static uint8_t *const base = (uint8_t *)(uintptr_t)0x10000;

static void check_new(struct payload made)
{
    CHECK(made.offset % ARENA_ALIGNMENT == 0);
    CHECK(made.offset < arena.size && made.size <= arena.size - made.offset);
    for (uint32_t i = 0; !lied && i < held_count; i++)
        CHECK(made.offset >= held[i].offset + held[i].size || held[i].offset >= made.offset + made.size);
}

static uint32_t size_of(struct input *input)
{
    uint32_t size = input_length(input);
    if (size == 0)
        return 1;
    return size < ARENA_BLOCK ? size : ARENA_BLOCK;
}

static void take(struct input *input)
{
    uint32_t least = size_of(input), size = 0, used = size_of(input);
    if (held_count == HELD_MAX)
        return;
    const uint8_t *room = arena_room(&arena, least, &size);
    if (!room) {
        CHECK(lied || held_count > 0);
        return;
    }
    CHECK(size >= least && size <= ARENA_BLOCK);
    CHECK(room >= base && size <= arena.size - (size_t)(room - base));
    used = used < size ? used : size;
    struct payload made = {.offset = arena_commit(&arena, used), .size = used};
    CHECK(base + made.offset == room);
    check_new(made);
    held[held_count++] = made;
}

static void forget(uint32_t index)
{
    held[index] = held[--held_count];
}

static void release(uint8_t which)
{
    if (held_count == 0)
        return;
    uint32_t index = which % held_count;
    CHECK(arena_release(&arena, held[index].offset, held[index].size) || lied);
    forget(index);
}

static void lie(struct input *input)
{
    uint32_t offset = input_u32(input), size = size_of(input);
    if (offset & 1)
        offset = (offset % arena.size) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (arena_release(&arena, offset, size))
        lied = true;
}

/* Nothing is held: all of it can be had, block after block. */
static void check_all_free(void)
{
    uint32_t size;
    CHECK(arena.held == 0);
    for (uint32_t i = 0; i < arena.block_count; i++) {
        CHECK(arena_room(&arena, ARENA_BLOCK, &size));
        arena_commit(&arena, ARENA_BLOCK);
    }
    CHECK(!arena_room(&arena, 1, &size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .left = size};
    uint32_t blocks = 1 + input_byte(&input) % BLOCKS_MAX;
    held_count = 0;
    lied = false;
    CHECK(arena_init(&arena, base, blocks * ARENA_BLOCK) == 0);
    while (!input_is_empty(&input)) {
        uint8_t op = input_byte(&input);
        if (op % 8 < 4)
            take(&input);
        else if (op % 8 < 7 || !(op & 0x80))
            release(op >> 3);
        else
            lie(&input);
    }
    while (held_count > 0)
        release(0);
    if (!lied)
        check_all_free();
    arena_deinit(&arena);
    return 0;
}
