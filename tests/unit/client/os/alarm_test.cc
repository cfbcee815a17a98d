#include <catch2/catch.hpp>

extern "C" {
#include "client/os/alarm.h"
#include "client/os/deadline.h"
}

#include <sys/epoll.h>
#include <unistd.h>

TEST_CASE("an alarm makes the epoll descriptor readable at its time, until it is set anew")
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(epoll >= 0);
    struct alarm alarm {
    };
    REQUIRE(alarm_init(&alarm, epoll, 7) == 0);
    epoll_event event{};
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);

    alarm_set(&alarm, deadline_now() + 60'000);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    const int64_t at = deadline_now() + 5;
    alarm_set(&alarm, at); // earlier
    REQUIRE(epoll_wait(epoll, &event, 1, -1) == 1);
    CHECK(deadline_now() >= at);
    CHECK(event.data.u64 == 7);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 1);

    SECTION("for another time")
    {
        alarm_set(&alarm, deadline_now() + 60'000);
        CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    }
    SECTION("for no time")
    {
        alarm_set(&alarm, 0);
        CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    }
    SECTION("for a time that is over")
    {
        alarm_set(&alarm, at - 1);
        CHECK(epoll_wait(epoll, &event, 1, -1) == 1);
    }
    alarm_deinit(&alarm);
    alarm_deinit(&alarm);
    close(epoll);
}
