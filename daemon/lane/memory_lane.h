/*
 * The memory lane: frames in two rings, long payloads in two arenas, bells for sleepers.
 *
 * The memory is made here, sealed against resizing (or the client could shrink it under our feet), and mapped by both.
 * What the client writes there is read once and checked. What only we must know lives elsewhere: the books of the
 * receive arena, our positions in the rings.
 *
 * All functions are for daemon/lane/lane.c, which says what they mean.
 */
#ifndef OCHE_DAEMON_LANE_MEMORY_LANE_H
#define OCHE_DAEMON_LANE_MEMORY_LANE_H

#include "daemon/lane/lane_state.h"
#include "proto/memory.h"

enum { MEMORY_LANE_DESCRIPTORS = 3 };

/* Makes the memory and the bells, and all else that can fail. 0 or a negative errno, and *what says what could not be
 * had. */
int memory_lane_new(struct lane *lane, const struct memory_sizes *sizes, struct memory_lane **memory,
                    const char **what);

/* After memory_lane_stop(), and not from within a callback of the lane. NULL is fine. */
void memory_lane_free(struct memory_lane *memory);

/* See lane_finish(). */
void memory_lane_finish(struct memory_lane *memory);

/* No callback follows. */
void memory_lane_stop(struct memory_lane *memory);

/* What the client gets: the memory, its bell, our bell. They stay ours; memory_lane_start() closes what is not needed.
 */
void memory_lane_descriptors(const struct memory_lane *memory, int descriptors[MEMORY_LANE_DESCRIPTORS]);

/* The client has the descriptors: takes what it sends. Cannot fail, for there is no way to tell the client any more. */
void memory_lane_start(struct memory_lane *memory);

int memory_lane_put(struct memory_lane *memory, const struct frame *frame, const void *body, const void *payload);
bool memory_lane_reserve(struct memory_lane *memory, bool many, size_t most, struct lane_room *room);
int memory_lane_commit(struct memory_lane *memory, const struct lane_room *room, struct frame *frame);
void memory_lane_give_back(struct memory_lane *memory, const struct lane_room *room);
void memory_lane_free_payload(struct memory_lane *memory, const struct payload *payload);
bool memory_lane_release(struct memory_lane *memory, uint32_t offset, uint32_t length);
bool memory_lane_is_read(const struct memory_lane *memory);
bool memory_lane_is_taken(const struct memory_lane *memory); /* and nothing waits to be shown to the client */

#endif
