/*
 * The shared memory of a session, mapped into this process (proto/memory.h).
 *
 * The rings are mapped at once, and an arena as it is used. What is mapped stays where it is, for the application has
 * pointers into it.
 *
 * The memory may outlive its session: the application still reads what lies in it. So it is counted, and unmapped with
 * the last reference. The child of a fork does not get the mappings, and leaves the addresses alone, where it may have
 * mapped something else by then.
 */
#ifndef OCHE_CLIENT_OS_REGION_H
#define OCHE_CLIENT_OS_REGION_H

#include "proto/arena.h"
#include "proto/memory.h"

#include <pthread.h>
#include <stdatomic.h>

enum region_arena { REGION_RECEIVE, REGION_SEND, REGION_ARENAS };

/* Segments of the largest arena: its first block, then 1, 2, 4, … blocks. */
enum { REGION_SEGMENTS = 13 };

struct region {
    atomic_uint references;
    unsigned fork_count; /* of the process that mapped it */
    int fd;              /* -1: no more of it will be mapped */
    uint8_t *rings;
    struct memory_sizes sizes;
    uint8_t *segments[REGION_ARENAS][REGION_SEGMENTS]; /* NULL: not mapped */

    /* Whose memory it is or was, who is told when data in it is given back, with this mutex held. Neither pointer ever
     * dangles, because sessions and their lanes are never freed. */
    pthread_mutex_t *mutex;
    void *owner;
};

/* Maps the rings of the memory behind `fd`, after checking that it is as large as `sizes` say, and stays so. 0 and
 * *region with one reference, which has the descriptor from now on; or a negative OCHE_ERR_ code, whose reason is in
 * the diagnostics, and the descriptor is still the caller's. */
int64_t region_map(int fd, const struct memory_sizes *sizes, struct region **region);

/* Where a block of an arena lies, which is mapped if it is not yet. NULL: the system has no room for it. */
uint8_t *region_block(struct region *region, enum region_arena arena, uint32_t block);

/* The grower of the send arena (proto/arena.h); the owner is the region. */
arena_grower region_grow_send;

/* Copies from the receive arena without mapping it. False: the system does not let us. */
bool region_copy(const struct region *region, uint32_t offset, uint8_t *out, uint32_t size);

/* No more of it is needed than is mapped. Idempotent. */
void region_close(struct region *region);

struct region *region_ref(struct region *region);

/* From any thread. */
void region_unref(struct region *region);

/* From now on this process has none of the regions that it had. */
void region_after_fork_in_child(void);

#endif
