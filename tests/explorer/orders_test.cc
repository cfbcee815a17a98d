// What of the product depends on the order of memory accesses, in all orders that C11 allows.
#include <catch2/catch.hpp>

#include "tests/explorer/coroutines.h"

extern "C" {
#include "tests/explorer/explored_ring.h"
#include "tests/explorer/explored_wakes.h"
}

namespace
{
constexpr uint32_t half = 2040; // of a ring, so that two of these fill it

void check(const explorer_result &result)
{
    INFO(result.trace);
    CHECK(result.fault == nullptr);
    CHECK(result.executions > 10);
}
} // namespace

TEST_CASE("records of a ring arrive whole and in order, and no sleeping consumer is left asleep")
{
    SKIP_WITH_TSAN();
    for (const bool eager : {false, true}) {
        for (const unsigned records : {1U, 2U, 3U}) {
            CAPTURE(eager, records);
            check(explored_ring(records, 8, eager));
        }
    }
}

TEST_CASE("a ring that is full is filled again when there is room, and no waiting producer is left waiting")
{
    SKIP_WITH_TSAN();
    check(explored_ring(3, half, false));
    check(explored_ring(3, half, true));
}

TEST_CASE("a loop that was woken sees what the threads have done that woke it, in one wake or two")
{
    SKIP_WITH_TSAN();
    check(explored_engine_wake());
}

TEST_CASE("who finds no descriptor left is told when one is given back")
{
    SKIP_WITH_TSAN();
    check(explored_descriptors());
}
