#include "tests/unit/client/os/region_try.h"

#include "client/os/region.h"

#include <fcntl.h>
#include <unistd.h>

int64_t region_try(int fd, const struct memory_sizes *sizes)
{
    struct region *region;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int64_t status = region_map(own, sizes, &region);
    if (status < 0) {
        close(own);
        return status;
    }
    region->rings[0] = REGION_TRY_MARK;
    region_block(region, REGION_SEND, sizes->send_arena / ARENA_BLOCK - 1)[ARENA_BLOCK - 1] = REGION_TRY_MARK;
    region_unref(region);
    return 0;
}
