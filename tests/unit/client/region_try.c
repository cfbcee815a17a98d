#include "tests/unit/client/region_try.h"

#include "client/region.h"

int64_t region_try(int fd, const struct memory_sizes *sizes)
{
    struct region *region;
    int64_t status = region_map(fd, sizes, &region);
    if (status < 0)
        return status;
    region->base[0] = REGION_TRY_MARK;
    region->base[region->size - 1] = REGION_TRY_MARK;
    region_unref(region);
    return 0;
}
