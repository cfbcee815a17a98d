#include "daemon/operations/body.h"

#include <stdlib.h>

static void *allocate(void *data, size_t size)
{
    struct body_memory *memory = data;
    void *allocated = malloc(size);
    if (!allocated)
        memory->was_short = true;
    return allocated;
}

static void release(void *data, void *allocated)
{
    (void)data;
    free(allocated);
}

void body_memory_init(struct body_memory *memory)
{
    *memory = (struct body_memory){.allocator = {.alloc = allocate, .free = release, .allocator_data = memory}};
}
