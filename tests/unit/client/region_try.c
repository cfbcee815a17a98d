#include "tests/unit/client/region_try.h"

#include "client/region.h"

int64_t region_try(int fd, const struct memory_sizes *sizes)
{
    struct region *region;
    int64_t status = region_map(fd, sizes, &region);
    if (status == 0)
        region_unref(region);
    return status;
}
