#include <catch2/catch.hpp>

extern "C" {
#include "client/session/backoff.h"
}

TEST_CASE("a daemon that has lived is looked for at once when it is lost")
{
    backoff backoff{};
    backoff_found(&backoff, 5'000);
    backoff_lost(&backoff, 5'000 + BACKOFF_STEADY);
    CHECK(backoff.pause == 0);
}

TEST_CASE("daemons that die at once are waited for longer and longer, up to a limit, and for ever")
{
    backoff backoff{};
    int64_t now = 1'000'000;
    int64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        backoff_found(&backoff, now);
        now += BACKOFF_STEADY - 1;
        backoff_lost(&backoff, now);
        CHECK(backoff.pause > 0);
        CHECK(backoff.pause <= BACKOFF_PAUSE_LAST);
        CHECK((backoff.pause > before || before == BACKOFF_PAUSE_LAST));
        before = backoff.pause;
        now += backoff.pause;
    }
    CHECK(before == BACKOFF_PAUSE_LAST);
}

TEST_CASE("one that has lived after all is the end of the waiting")
{
    backoff backoff{};
    for (int64_t now = 0; now < 100; now++) {
        backoff_found(&backoff, now);
        backoff_lost(&backoff, now);
    }
    backoff_found(&backoff, 1'000);
    backoff_lost(&backoff, 1'000 + BACKOFF_STEADY);
    CHECK(backoff.pause == 0);
}

TEST_CASE("without a daemon it is tried less and less often, and given up when it takes too long")
{
    backoff backoff{};
    int64_t now = 7'000;
    int attempts = 0;
    backoff_found(&backoff, 0);
    backoff_lost(&backoff, now);
    CHECK(backoff.pause == 0);
    while (backoff_failed(&backoff, now)) {
        attempts++;
        CHECK(backoff.pause > 0);
        now += backoff.pause;
    }
    CHECK(now - 7'000 >= BACKOFF_LIMIT);
    CHECK(attempts > 10);
    CHECK(attempts < 30);
    backoff_found(&backoff, now);
    backoff_lost(&backoff, now);
    CHECK(backoff_failed(&backoff, now + 1));
}
