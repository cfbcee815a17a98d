/* client/os/region.h for C++, which does not see its atomics. */
#ifndef OCHE_TESTS_UNIT_CLIENT_OS_REGION_TRY_H
#define OCHE_TESTS_UNIT_CLIENT_OS_REGION_TRY_H

#include "proto/memory.h"

enum { REGION_TRY_MARK = 0x5a };

/* The result of region_map(). The first and the last byte of what it mapped get the mark, and it is unmapped again. */
int64_t region_try(int fd, const struct memory_sizes *sizes);

#endif
