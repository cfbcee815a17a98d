#include <catch2/catch.hpp>

extern "C" {
#include "client/session/schedule.h"
}

#include <sys/epoll.h>
#include <unistd.h>

namespace
{
constexpr unsigned number = 7;

class Schedule
{
  public:
    Schedule() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC))
    {
        REQUIRE(schedule_init(&schedule, epoll_fd_, number) == 0);
    }
    ~Schedule()
    {
        schedule_deinit(&schedule);
        close(epoll_fd_);
    }
    Schedule(const Schedule &) = delete;
    Schedule &operator=(const Schedule &) = delete;

    int64_t at() const
    {
        return schedule.alarm.at;
    }

    struct schedule schedule = {};

  private:
    int epoll_fd_;
};
} // namespace

TEST_CASE("the alarm is set for the first of the limits")
{
    Schedule made;
    CHECK(made.at() == 0);
    schedule_limit(&made.schedule, 2000);
    CHECK(made.at() == 2000);
    schedule_limit(&made.schedule, 3000);
    CHECK(made.at() == 2000);
    schedule_limit(&made.schedule, 1000);
    CHECK(made.at() == 1000);
}

TEST_CASE("the alarm is off when the last request with a limit is done")
{
    Schedule made;
    schedule_limit(&made.schedule, 1000);
    schedule_limit(&made.schedule, 2000);
    schedule_unlimit(&made.schedule);
    CHECK(made.at() != 0);
    schedule_unlimit(&made.schedule);
    CHECK(made.at() == 0);
}

TEST_CASE("what a daemon owes sets the alarm as long as there is a daemon")
{
    Schedule made;
    schedule_owe(&made.schedule);
    CHECK(made.at() == 0);
    schedule_begin(&made.schedule, false);
    CHECK(made.at() == 0);
    schedule_owe(&made.schedule);
    CHECK(made.at() > 0);
    schedule_end(&made.schedule);
    CHECK(made.at() == 0);
}

TEST_CASE("a daemon may owe something from the beginning")
{
    Schedule made;
    schedule_begin(&made.schedule, true);
    CHECK(made.at() > 0);
}

TEST_CASE("the end of the daemon leaves the limits")
{
    Schedule made;
    schedule_begin(&made.schedule, true);
    schedule_limit(&made.schedule, INT64_MAX / 4);
    schedule_end(&made.schedule);
    CHECK(made.at() == INT64_MAX / 4);
}
