// That the explorer finds what goes wrong where sequentially consistent accesses are release and acquire only.
#include <catch2/catch.hpp>

#include "tests/explorer/coroutines.h"

extern "C" {
#include "tests/explorer/explored_ring.h"
#include "tests/explorer/explored_wakes.h"
}

TEST_CASE("with release and acquire alone a consumer, a producer, or whoever wants a descriptor is left asleep")
{
    SKIP_WITH_TSAN();
    CHECK(explored_ring(1, 8, false).fault != nullptr);
    CHECK(explored_ring(3, 2040, true).fault != nullptr);
    CHECK(explored_descriptors().fault != nullptr);
}

TEST_CASE("release and acquire are enough for waking a loop")
{
    SKIP_WITH_TSAN();
    CHECK(explored_engine_wake().fault == nullptr);
}
