/* Or a 32-bit fstat() fails on files whose inode number takes more than 32 bits. */
#define _FILE_OFFSET_BITS 64

#include "client/region.h"

#include "client/diagnostics.h"
#include "proto/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

static atomic_uint fork_count;

static int64_t refuse(int error, const char *what)
{
    diagnostics_fail(error, "cannot use the daemon's shared memory: %s", what);
    return error == ENOMEM ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_DAEMON_UNAVAILABLE;
}

/* Memory that the other side could shrink would be a SIGBUS in waiting. */
static int64_t check(int fd, size_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0)
        return refuse(errno, "its seals");
    if (!(seals & F_SEAL_SHRINK) || !(seals & F_SEAL_GROW))
        return refuse(0, "it is not sealed");
    if (fstat(fd, &status) < 0)
        return refuse(errno, "its size");
    if (status.st_size < 0 || (uint64_t)status.st_size != size)
        return refuse(0, "it is not as large as the daemon says");
    return 0;
}

int64_t region_map(int fd, const struct memory_sizes *sizes, struct region **region)
{
    size_t size = memory_total(sizes);
    int64_t status = check(fd, size);
    if (status < 0)
        return status;

    struct region *made = malloc(sizeof *made);
    if (!made)
        return refuse(ENOMEM, "describing it");
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        status = refuse(errno, "mapping it");
        free(made);
        return status;
    }
    if (madvise(base, size, MADV_DONTFORK) < 0) {
        status = refuse(errno, "keeping it out of children");
        munmap(base, size);
        free(made);
        return status;
    }
    *made = (struct region){.base = base, .size = size, .sizes = *sizes, .fork_count = atomic_load(&fork_count)};
    atomic_init(&made->references, 1);
    *region = made;
    return 0;
}

struct region *region_ref(struct region *region)
{
    atomic_fetch_add_explicit(&region->references, 1, memory_order_relaxed);
    return region;
}

void region_unref(struct region *region)
{
    /* Whatever the other threads did with the memory they did before. */
    if (atomic_fetch_sub_explicit(&region->references, 1, memory_order_acq_rel) > 1)
        return;
    if (region->fork_count == atomic_load(&fork_count))
        munmap(region->base, region->size);
    free(region);
}

void region_after_fork_in_child(void)
{
    atomic_fetch_add(&fork_count, 1);
}
