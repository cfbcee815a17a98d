#include <catch2/catch.hpp>

extern "C" {
#include "client/os/bell.h"
}

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace
{
bool is_ringing(int bell)
{
    pollfd polled{bell, POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
}
} // namespace

TEST_CASE("a bell rings until it is silenced, however often it was rung")
{
    const int bell = bell_new();
    REQUIRE(bell >= 0);
    CHECK_FALSE(is_ringing(bell));
    bell_ring(bell);
    bell_ring(bell);
    CHECK(is_ringing(bell));
    bell_silence(bell);
    CHECK_FALSE(is_ringing(bell));
    bell_ring(bell);
    CHECK(is_ringing(bell));
    close(bell);
}

TEST_CASE("silencing a bell that does not ring does not block, and a bell does not go along to programs")
{
    const int bell = bell_new();
    REQUIRE(bell >= 0);
    bell_silence(bell);
    CHECK((fcntl(bell, F_GETFD) & FD_CLOEXEC) != 0);
    close(bell);
}
