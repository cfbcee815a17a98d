#include "daemon/lane/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Sealed, or the client could shrink it under our feet. */
static int make(struct memory *memory, const char **what)
{
    *what = "memfd_create";
    memory->fd = memfd_create("oche", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory->fd < 0)
        return -errno;
    *what = "sizing and sealing the memory";
    if (ftruncate(memory->fd, (off_t)memory_total(&memory->sizes)) < 0 ||
        fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    *what = "the pages of the rings";
    int r;
    /* Interrupted not by signals alone: on Linux 6.1 also by what the system does for a closed ring of io_uring(7). */
    do
        r = fallocate(memory->fd, 0, 0, (off_t)memory_rings_end(&memory->sizes)) < 0 ? -errno : 0;
    while (r == -EINTR);
    return r;
}

int memory_init(struct memory *memory, const struct memory_sizes *sizes, const char **what)
{
    *memory = (struct memory){.fd = -1, .sizes = *sizes};
    int r = make(memory, what);
    if (r < 0)
        return r;
    *what = "mmap";
    void *base = mmap(NULL, memory_total(sizes), PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    memory->base = base;
    memory_map_init(&memory->map, memory->base, sizes);
    return 0;
}

void memory_deinit(struct memory *memory)
{
    memory_close(memory);
    if (memory->base)
        munmap(memory->base, memory_total(&memory->sizes));
    memory->base = NULL;
}

void memory_close(struct memory *memory)
{
    if (memory->fd >= 0)
        close(memory->fd);
    memory->fd = -1;
}

uint8_t *memory_grow_receive(void *owner, uint32_t block, uint32_t ready, uint32_t size)
{
    const struct memory *memory = owner;
    uint8_t *bytes = memory->map.receive_arena + (size_t)block * ARENA_BLOCK;
    size_t lead = ((uintptr_t)bytes + ready) & ((size_t)sysconf(_SC_PAGESIZE) - 1); /* pages may be large */
    int r = madvise(bytes + ready - lead, size - ready + lead, MADV_POPULATE_WRITE);
    /* madvise(2): other errors are of kernels before 5.14, which cannot be asked. */
    return r < 0 && (errno == EFAULT || errno == ENOMEM) ? NULL : bytes;
}
