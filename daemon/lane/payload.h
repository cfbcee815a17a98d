/*
 * The bytes of a write, wherever the lane has put them: memory of their own, or the client's arena.
 *
 * Bytes in an arena may change until they are sent, if the client is hostile: that is its own stream. They are only
 * ever handed to the kernel.
 */
#ifndef OCHE_DAEMON_LANE_PAYLOAD_H
#define OCHE_DAEMON_LANE_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct payload {
    uint8_t *data; /* NULL: there are no bytes */
    uint32_t length;
    uint32_t offset; /* in the arena, if it is there */
    bool in_arena;
};

#endif
