// That the explorer finds what goes wrong where sequentially consistent accesses are relaxed.
#include <catch2/catch.hpp>

#include "tests/explorer/coroutines.h"

extern "C" {
#include "tests/explorer/explored_ring.h"
#include "tests/explorer/explored_wakes.h"
}

TEST_CASE("without any order a record is read before it is there, and a loop that is woken misses what was done")
{
    SKIP_WITH_TSAN();
    CHECK(explored_ring(1, 8, false).fault != nullptr);
    CHECK(explored_engine_wake().fault != nullptr);
    CHECK(explored_descriptors().fault != nullptr);
}
