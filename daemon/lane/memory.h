/*
 * The shared memory of a session, as the daemon makes and maps it: see proto/memory.h.
 *
 * The pages of a memfd exist when they are first touched, and where the system has none left, touching is a SIGBUS. The
 * rings are small, and get their pages when the memory is made. The arenas are large and mostly unused: theirs are
 * asked for as the receive arena is used, and the send arena is the client's to write to.
 */
#ifndef OCHE_DAEMON_LANE_MEMORY_H
#define OCHE_DAEMON_LANE_MEMORY_H

#include "proto/arena.h"
#include "proto/memory.h"

struct memory {
    int fd; /* -1: closed */
    uint8_t *base;
    struct memory_sizes sizes;
    struct memory_map map;
};

/* Makes memory that nobody can resize, and maps it. 0, or a negative errno, and *what says what could not be had; then
 * memory_deinit() is due as well. */
int memory_init(struct memory *memory, const struct memory_sizes *sizes, const char **what);
void memory_deinit(struct memory *memory);

/* The client has the descriptor: closes ours. */
void memory_close(struct memory *memory);

/* The grower of the receive arena (proto/arena.h); the owner is the memory. */
arena_grower memory_grow_receive;

#endif
