#include <catch2/catch.hpp>

extern "C" {
#include "client/os/deadline.h"
}

#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>

namespace
{
constexpr int64_t long_time = 60'000;

struct Duty {
    int fd;
    int runs = 0;
    int runs_wanted = 1;
    int then = -1; // an eventfd that becomes readable with the last run

    static void run(void *context)
    {
        auto &duty = *static_cast<Duty *>(context);
        if (++duty.runs < duty.runs_wanted) {
            return; // still readable
        }
        eventfd_t value = 0;
        REQUIRE(eventfd_read(duty.fd, &value) == 0);
        if (duty.then >= 0) {
            REQUIRE(eventfd_write(duty.then, 1) == 0);
        }
    }
};

class Event
{
  public:
    explicit Event(unsigned count = 0) : fd(eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK))
    {
        REQUIRE(fd >= 0);
    }
    ~Event()
    {
        close(fd);
    }
    Event(const Event &) = delete;
    Event &operator=(const Event &) = delete;

    const int fd;
};
} // namespace

TEST_CASE("a wait ends with what it waits for, with the time, or when it is cancelled")
{
    const Event ready(1);
    const Event never;
    const deadline patient = deadline_in(long_time, never.fd);
    CHECK(deadline_wait(&patient, ready.fd, POLLIN) == 0);
    const deadline over = deadline_in(0, never.fd);
    CHECK(deadline_wait(&over, ready.fd, POLLIN) == -ETIMEDOUT);
    const deadline cancelled = deadline_in(long_time, ready.fd);
    CHECK(deadline_wait(&cancelled, ready.fd, POLLIN) == -ECANCELED);
    const deadline soon = deadline_in(1, -1);
    CHECK(deadline_wait(&soon, never.fd, POLLIN) == -ETIMEDOUT);
}

TEST_CASE("the duty is done while somebody waits, as often as its descriptor is readable, and the wait goes on")
{
    const Event due(1);
    const Event awaited;
    Duty duty{due.fd, 0, 3, awaited.fd};
    const deadline_duty what{due.fd, Duty::run, &duty};
    deadline deadline = deadline_in(long_time, -1);
    deadline.duty = &what;
    CHECK(deadline_wait(&deadline, awaited.fd, POLLIN) == 0);
    CHECK(duty.runs == 3);
}

TEST_CASE("a pause does the duty, too, and can be cancelled by it")
{
    const Event due(1);
    const Event cancel;
    Duty duty{due.fd, 0, 1, cancel.fd};
    const deadline_duty what{due.fd, Duty::run, &duty};
    deadline deadline = deadline_in(2 * long_time, cancel.fd);
    deadline.duty = &what;
    CHECK(deadline_pause(&deadline, long_time) == -ECANCELED);
    CHECK(duty.runs == 1);
}

TEST_CASE("what was waited for is seen also when the duty is due at the same time")
{
    const Event due(1);
    const Event ready(1);
    Duty duty{due.fd};
    const deadline_duty what{due.fd, Duty::run, &duty};
    deadline deadline = deadline_in(long_time, -1);
    deadline.duty = &what;
    CHECK(deadline_wait(&deadline, ready.fd, POLLIN) == 0);
    CHECK(duty.runs == 1);
}
