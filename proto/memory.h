/*
 * The shared memory of a session on the memory lane: one memfd, made and sealed by the daemon.
 *
 *    0                     struct ring_shared of the request ring (client to daemon)
 *    128                   struct ring_shared of the reply ring (daemon to client)
 *    4096                  data of the request ring
 *    …                     data of the reply ring
 *    …                     the receive arena: the daemon allocates, the client reads and releases
 *    …                     the send arena: the client allocates, the daemon reads and releases
 *
 * A payload in an arena stays untouched by its sender until the receiver says RELEASE, with the same offset and length.
 * Every RELEASE has FRAME_IN_ARENA, no handle, request id 0 and no reply; from the daemon it also has FRAME_REPLY.
 *
 * Each side has a bell, which the other rings as proto/ring.h says: the client the reading end of a pipe, the daemon an
 * eventfd. Pages of the arenas exist as they are used, and those of the rings from the beginning. The Unix-domain
 * socket stays open, carries nothing any more, and tells each side when the other is gone.
 *
 * The four sizes are in the Welcome; each is a multiple of 4096, so every part begins on a page. A record of a ring is
 * a frame: header, body, and the payload if it is short. The payload of a frame with FRAME_IN_ARENA lies in the arena
 * of its sender instead, at the payload offset.
 */
#ifndef OCHE_PROTO_MEMORY_H
#define OCHE_PROTO_MEMORY_H

#include "proto/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MEMORY_CONTROL_SIZE = 4096,
    MEMORY_INLINE_MAX = 4096, /* bytes of payload that ride in the ring; longer ones go to the arena */
};

struct memory_sizes {
    uint32_t request_ring; /* powers of two from 64 KiB to RING_SIZE_MAX */
    uint32_t reply_ring;
    uint32_t receive_arena; /* multiples of ARENA_BLOCK up to ARENA_SIZE_MAX */
    uint32_t send_arena;
};

/* Where everything is once the memory is mapped. */
struct memory_map {
    struct ring_shared *request_control;
    struct ring_shared *reply_control;
    uint8_t *request_ring;
    uint8_t *reply_ring;
    uint8_t *receive_arena;
    uint8_t *send_arena;
};

/* For numbers that came from the other side. */
bool memory_sizes_are_valid(uint64_t request_ring, uint64_t reply_ring, uint64_t receive_arena, uint64_t send_arena);

/* Bytes up to the arenas. */
size_t memory_rings_end(const struct memory_sizes *sizes);

/* Bytes of the whole. */
size_t memory_total(const struct memory_sizes *sizes);

/* Sets all but the arenas: for who maps these by themselves. */
void memory_map_init_rings(struct memory_map *map, uint8_t *base, const struct memory_sizes *sizes);

void memory_map_init(struct memory_map *map, uint8_t *base, const struct memory_sizes *sizes);

#endif
