/*
 * Handles on the wire: a slot of the session's socket table and the generation of what lives in it, so that a handle
 * whose socket is gone never names the next socket in its place. Positive; 0 means no socket.
 *
 *    bits 0–19 slot, bits 20–39 generation, which starts at 1
 */
#ifndef OCHE_PROTO_HANDLE_H
#define OCHE_PROTO_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HANDLE_SLOT_BITS = 20,
    HANDLE_GENERATION_BITS = 20,
    HANDLE_BITS = HANDLE_SLOT_BITS + HANDLE_GENERATION_BITS,
    HANDLE_SLOT_MAX = (1 << HANDLE_SLOT_BITS) - 1,
    HANDLE_GENERATION_MAX = (1 << HANDLE_GENERATION_BITS) - 1,
};

static inline int64_t handle_make(uint32_t slot, uint32_t generation)
{
    return (int64_t)generation << HANDLE_SLOT_BITS | slot;
}

static inline bool handle_is_wellformed(int64_t handle)
{
    return handle > HANDLE_SLOT_MAX && handle < (int64_t)1 << HANDLE_BITS;
}

static inline uint32_t handle_slot(int64_t handle)
{
    return (uint32_t)(handle & HANDLE_SLOT_MAX);
}

static inline uint32_t handle_generation(int64_t handle)
{
    return (uint32_t)(handle >> HANDLE_SLOT_BITS) & HANDLE_GENERATION_MAX;
}

#endif
