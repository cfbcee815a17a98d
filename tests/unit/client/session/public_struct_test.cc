#include <catch2/catch.hpp>

#include <cstdint>
#include <limits>

extern "C" {
#include "client/session/public_struct.h"
}

namespace
{
// The same struct in three versions of a header. The library is of the second.
struct First {
    size_t size;
    uint64_t a;
};

struct Second {
    size_t size;
    uint64_t a, b;
};

struct Third {
    size_t size;
    uint64_t a, b, c;
};

constexpr size_t least = PUBLIC_STRUCT_UNTIL(First, a);

template <typename Callers> bool take(Second &own, const Callers &callers)
{
    return public_struct_take(&own, sizeof own, &callers, least);
}

template <typename Callers> bool give(Callers &callers, const Second &own)
{
    return public_struct_give(&callers, &own, sizeof own, least);
}
} // namespace

TEST_CASE("what the caller sets arrives, and what the caller's version does not have is 0")
{
    Second own{1, 2, 3};
    REQUIRE(take(own, Second{sizeof(Second), 10, 11}));
    CHECK(own.a == 10);
    CHECK(own.b == 11);
    REQUIRE(take(own, First{sizeof(First), 20}));
    CHECK(own.a == 20);
    CHECK(own.b == 0);
}

TEST_CASE("fields that only a later version has are fine while they are 0, and refused when they are set")
{
    Second own{};
    REQUIRE(take(own, Third{sizeof(Third), 10, 11, 0}));
    CHECK(own.a == 10);
    CHECK(own.b == 11);
    CHECK_FALSE(take(own, Third{sizeof(Third), 20, 21, 22}));
    CHECK(own.a == 10);
}

TEST_CASE("a size that nobody has set is refused")
{
    Second own{};
    CHECK_FALSE(take(own, Second{0, 10, 11}));
    CHECK_FALSE(take(own, Second{sizeof(First) - 1, 10, 11}));
    CHECK_FALSE(take(own, Second{std::numeric_limits<size_t>::max(), 10, 11}));
    First first{0, 5};
    CHECK_FALSE(give(first, Second{0, 10, 11}));
    CHECK(first.a == 5);
}

TEST_CASE("the caller gets as much as both versions have, and keeps the size")
{
    const Second own{0, 10, 11};
    First guarded[2] = {{sizeof(First), 1}, {77, 78}};
    REQUIRE(give(guarded[0], own));
    CHECK(guarded[0].size == sizeof(First));
    CHECK(guarded[0].a == 10);
    CHECK(guarded[1].size == 77);
    Third third{sizeof(Third), 1, 2, 3};
    REQUIRE(give(third, own));
    CHECK(third.a == 10);
    CHECK(third.b == 11);
    CHECK(third.c == 3);
}
