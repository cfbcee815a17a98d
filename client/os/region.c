/*
 * Address space is scarce in a 32-bit process with many isolates. So an arena is mapped in segments, when a block in
 * them is first asked for. Each segment is as large as all before it together: so there are few of them, and a session
 * that moves little data has none, or the smallest.
 */

/* Or a 32-bit fstat() fails on files whose inode number takes more than 32 bits. */
#define _FILE_OFFSET_BITS 64

#include "client/os/region.h"

#include "client/os/diagnostics.h"
#include "proto/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(ARENA_SIZE_MAX / ARENA_BLOCK == 1 << (REGION_SEGMENTS - 1), "segments for the largest arena");

static atomic_uint fork_count;

static int64_t refuse_memory(int error, const char *what)
{
    diagnostics_fail(error, "cannot use the daemon's shared memory: %s", what);
    return error == ENOMEM ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_DAEMON_UNAVAILABLE;
}

/* Memory that the other side could shrink would be a SIGBUS in waiting. */
static int64_t check_memory(int fd, size_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0)
        return refuse_memory(errno, "its seals");
    if (!(seals & F_SEAL_SHRINK) || !(seals & F_SEAL_GROW))
        return refuse_memory(0, "it is not sealed");
    if (fstat(fd, &status) < 0)
        return refuse_memory(errno, "its size");
    if (status.st_size < 0 || (uint64_t)status.st_size != size)
        return refuse_memory(0, "it is not as large as the daemon says");
    return 0;
}

/* How far an offset in the memory is from the page that it lies on; pages may be larger than 4096 bytes. */
static size_t behind_page(size_t offset)
{
    return offset & ((size_t)sysconf(_SC_PAGESIZE) - 1);
}

/* NULL: the system has no room, or does not let us; errno says. */
static uint8_t *map_part(int fd, size_t offset, size_t size)
{
    size_t lead = behind_page(offset);
    uint8_t *bytes = mmap(NULL, lead + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset - lead));
    if (bytes == MAP_FAILED)
        return NULL;
    if (madvise(bytes, lead + size, MADV_DONTFORK) == 0)
        return bytes + lead;
    int error = errno;
    munmap(bytes, lead + size);
    errno = error;
    return NULL;
}

static void unmap_part(uint8_t *bytes, size_t size)
{
    size_t lead = behind_page((uintptr_t)bytes);
    munmap(bytes - lead, lead + size);
}

int64_t region_map(int fd, const struct memory_sizes *sizes, struct region **region)
{
    int64_t status = check_memory(fd, memory_total(sizes));
    if (status < 0)
        return status;
    struct region *made = malloc(sizeof *made);
    if (!made)
        return refuse_memory(ENOMEM, "describing it");
    uint8_t *rings = map_part(fd, 0, memory_rings_end(sizes));
    if (!rings) {
        status = refuse_memory(errno, "mapping it");
        free(made);
        return status;
    }
    *made = (struct region){.fd = fd, .rings = rings, .sizes = *sizes, .fork_count = atomic_load(&fork_count)};
    atomic_init(&made->references, 1);
    *region = made;
    return 0;
}

/* ---- arenas ---- */

static uint32_t arena_size(const struct region *region, enum region_arena arena)
{
    return arena == REGION_RECEIVE ? region->sizes.receive_arena : region->sizes.send_arena;
}

static size_t arena_begin(const struct region *region, enum region_arena arena)
{
    return memory_rings_end(&region->sizes) + (arena == REGION_SEND ? region->sizes.receive_arena : 0);
}

/* The first block of a segment, which is also how many there are before it. */
static uint32_t segment_begin(unsigned segment)
{
    return segment == 0 ? 0 : UINT32_C(1) << (segment - 1);
}

static unsigned segment_of(uint32_t block)
{
    unsigned segment = 0;
    while (segment_begin(segment + 1) <= block)
        segment++;
    return segment;
}

/* Bytes; the last segment ends with the arena. */
static size_t segment_size(const struct region *region, enum region_arena arena, unsigned segment)
{
    uint32_t begin = segment_begin(segment), end = segment_begin(segment + 1);
    uint32_t blocks = arena_size(region, arena) / ARENA_BLOCK;
    return (size_t)((end < blocks ? end : blocks) - begin) * ARENA_BLOCK;
}

uint8_t *region_block(struct region *region, enum region_arena arena, uint32_t block)
{
    unsigned segment = segment_of(block);
    size_t begin = (size_t)segment_begin(segment) * ARENA_BLOCK;
    uint8_t **mapped = &region->segments[arena][segment];
    if (!*mapped && region->fd >= 0)
        *mapped = map_part(region->fd, arena_begin(region, arena) + begin, segment_size(region, arena, segment));
    return *mapped ? *mapped + ((size_t)block * ARENA_BLOCK - begin) : NULL;
}

uint8_t *region_grow_send(void *owner, uint32_t block, uint32_t ready, uint32_t size)
{
    uint8_t *bytes = region_block(owner, REGION_SEND, block);
    if (!bytes)
        return NULL;
    size_t lead = behind_page((uintptr_t)bytes + ready);
    int status = madvise(bytes + ready - lead, size - ready + lead, MADV_POPULATE_WRITE);
    /* madvise(2): other errors are of kernels before 5.14, which cannot be asked. */
    return status < 0 && (errno == EFAULT || errno == ENOMEM) ? NULL : bytes;
}

bool region_copy(const struct region *region, uint32_t offset, uint8_t *out, uint32_t size)
{
    off_t position = (off_t)(arena_begin(region, REGION_RECEIVE) + offset);
    while (size > 0) {
        ssize_t count = pread(region->fd, out, size, position);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        out += count;
        position += count;
        size -= (uint32_t)count;
    }
    return true;
}

void region_close(struct region *region)
{
    if (region->fd >= 0)
        close(region->fd);
    region->fd = -1;
}

/* ---- references ---- */

struct region *region_ref(struct region *region)
{
    atomic_fetch_add_explicit(&region->references, 1, memory_order_relaxed);
    return region;
}

static void unmap(const struct region *region)
{
    unmap_part(region->rings, memory_rings_end(&region->sizes));
    for (int arena = 0; arena < REGION_ARENAS; arena++) {
        for (unsigned segment = 0; segment < REGION_SEGMENTS; segment++) {
            if (region->segments[arena][segment])
                unmap_part(region->segments[arena][segment], segment_size(region, arena, segment));
        }
    }
}

void region_unref(struct region *region)
{
    /* Whatever the other threads did with the memory they did before. */
    if (atomic_fetch_sub_explicit(&region->references, 1, memory_order_acq_rel) > 1)
        return;
    if (region->fork_count == atomic_load(&fork_count))
        unmap(region);
    region_close(region);
    free(region);
}

void region_after_fork_in_child(void)
{
    atomic_fetch_add(&fork_count, 1);
}
