/*
 * The shared memory of a session, mapped into this process (proto/memory.h).
 *
 * It may outlive its session: the application still reads what lies in it. So it is counted, and unmapped with the last
 * reference. The child of a fork does not get the mapping, and leaves the addresses alone, where it may have mapped
 * something else by then.
 */
#ifndef OCHE_CLIENT_REGION_H
#define OCHE_CLIENT_REGION_H

#include "proto/memory.h"

#include <pthread.h>
#include <stdatomic.h>

struct lane;

struct region {
    atomic_uint references;
    unsigned fork_count; /* of the process that mapped it */
    uint8_t *base;
    size_t size;
    struct memory_sizes sizes;

    /* The session that it is or was the memory of, which is told when data in it is given back. Neither pointer ever
     * dangles, because session structures are never freed. */
    pthread_mutex_t *mutex;
    struct lane *lane;
};

/* Maps the memory behind `fd`, which stays the caller's and need not stay open, after checking that it is as large as
 * `sizes` say, and stays so. 0 and *region with one reference, or a negative OCHE_ERR_ code, whose reason is in the
 * diagnostics. */
int64_t region_map(int fd, const struct memory_sizes *sizes, struct region **region);

struct region *region_ref(struct region *region);

/* From any thread. */
void region_unref(struct region *region);

/* From now on this process has none of the regions that it had. */
void region_after_fork_in_child(void);

#endif
