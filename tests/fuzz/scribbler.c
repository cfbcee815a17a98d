#include "tests/fuzz/scribbler.h"

#include <stdatomic.h>
#include <string.h>

void scribbler_change_word(const struct memory_map *map, struct input *input)
{
    uint8_t which = input_byte(input);
    struct ring_shared *rings[] = {map->request_control, map->reply_control};
    struct ring_shared *ring = rings[which & 1];
    _Atomic uint32_t *words[] = {&ring->head, &ring->tail, &ring->producer_waits, &ring->consumer_sleeps};
    _Atomic uint32_t *word = words[which >> 1 & 3];
    uint32_t now = atomic_load(word);
    atomic_store(word, which & 0x10 ? now + (uint32_t)((int8_t)input_byte(input) * 8) : input_u32(input));
}

void scribbler_change_bytes(uint8_t *base, size_t total, struct ring_producer *ring, uint8_t how, struct input *input)
{
    size_t at = input_u32(input) % total, taken;
    if (how & 0x10)
        at = (size_t)(ring->data - base) + ((ring->head + at % 128) & (ring->size - 1));
    const uint8_t *bytes = input_take(input, input_byte(input), &taken);
    taken = taken < total - at ? taken : total - at;
    if (taken > 0)
        memcpy(base + at, bytes, taken);
    if (how & 0x20) {
        ring->head += (uint32_t)(taken + 7) / 8 * 8;
        atomic_store(&ring->shared->head, ring->head);
    }
}
