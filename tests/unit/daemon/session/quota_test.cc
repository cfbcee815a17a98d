#include <catch2/catch.hpp>

extern "C" {
#include "daemon/session/quota.h"
}

#include <atomic>
#include <thread>
#include <vector>

namespace
{

constexpr int64_t second = 1'000'000'000;

unsigned taken_at(rate *bucket, int64_t now)
{
    unsigned taken = 0;
    while (rate_take(bucket, now))
        taken++;
    return taken;
}

} // namespace

TEST_CASE("a quota gives up to its limit, and again what was given back")
{
    quota room;
    quota_init(&room, 10);
    CHECK(quota_take(&room, 4));
    CHECK(quota_take(&room, 6));
    CHECK_FALSE(quota_take(&room, 1));
    CHECK(quota_in_use(&room) == 10);
    quota_give_back(&room, 4);
    CHECK_FALSE(quota_take(&room, 5));
    CHECK(quota_take(&room, 4));
    quota_give_back(&room, 10);
    CHECK(quota_in_use(&room) == 0);
}

TEST_CASE("what must not fail goes beyond the limit, and is counted")
{
    quota room;
    quota_init(&room, 1);
    quota_take_anyway(&room, 3);
    CHECK(quota_in_use(&room) == 3);
    CHECK_FALSE(quota_take(&room, 1));
    quota_give_back(&room, 3);
    CHECK(quota_take(&room, 1));
}

TEST_CASE("an amount that overflows is refused")
{
    quota room;
    quota_init(&room, 10);
    CHECK(quota_take(&room, 5));
    CHECK_FALSE(quota_take(&room, INT64_MAX));
    CHECK(quota_in_use(&room) == 5);
}

TEST_CASE("a share is what is wanted, then half of what is left in whole units, then nothing")
{
    quota room;
    quota_init(&room, 1000);
    CHECK(quota_take_share(&room, 400, 10) == 400);
    CHECK(quota_take_share(&room, 400, 10) == 300);
    CHECK(quota_take_share(&room, 400, 10) == 150);
    CHECK(quota_take_share(&room, 400, 10) == 70); // half of 150 in units of 10
    CHECK(quota_take_share(&room, 20, 10) == 20);
    quota_give_back(&room, 70 + 20);
    CHECK(quota_take(&room, 135));
    CHECK(quota_take_share(&room, 400, 10) == 10); // one unit, though it is more than half
    CHECK(quota_take_share(&room, 400, 10) == 0);
    CHECK(quota_in_use(&room) == 995);
}

TEST_CASE("several threads never have more than the limit, and in the end nothing")
{
    quota room;
    quota_init(&room, 3);
    std::atomic<int> holders{0};
    std::atomic<bool> too_many{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (int round = 0; round < 20'000; round++) {
                if (!quota_take(&room, 1))
                    continue;
                if (++holders > 3)
                    too_many = true;
                --holders;
                quota_give_back(&room, 1);
            }
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    CHECK_FALSE(too_many);
    CHECK(quota_in_use(&room) == 0);
}

TEST_CASE("a rate lets a second's worth pass at once, and then one in each interval")
{
    rate bucket;
    rate_init(&bucket, 100);
    const uint64_t start = 5 * second;
    CHECK(taken_at(&bucket, start) == 100);
    CHECK(rate_spent(&bucket, start) == 100);
    CHECK(taken_at(&bucket, start + second / 100 - 1) == 0);
    CHECK(taken_at(&bucket, start + second / 100) == 1);
    CHECK(taken_at(&bucket, start + second / 2) == 49);
}

TEST_CASE("after a long rest a rate lets no more pass than after a second")
{
    rate bucket;
    rate_init(&bucket, 7);
    CHECK(taken_at(&bucket, 1 * second) == 7);
    CHECK(taken_at(&bucket, 100 * second) == 7);
    CHECK(rate_spent(&bucket, 200 * second) == 0);
}

TEST_CASE("a turn that is given back can be taken again")
{
    rate bucket;
    rate_init(&bucket, 5);
    CHECK(taken_at(&bucket, second) == 5);
    rate_give_back(&bucket);
    CHECK(rate_spent(&bucket, second) == 4);
    CHECK(taken_at(&bucket, second) == 1);
}

TEST_CASE("a rate of 0 lets everything pass")
{
    rate bucket;
    rate_init(&bucket, 0);
    for (int i = 0; i < 1000; i++)
        REQUIRE(rate_take(&bucket, 1));
    rate_give_back(&bucket);
    CHECK(rate_spent(&bucket, 1) == 0);
}
