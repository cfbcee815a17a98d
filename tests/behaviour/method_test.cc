// How the daemon's loops wait: what --method asks for, and what comes instead where the system does not have it.
#include <catch2/catch.hpp>

#include <cerrno>
#include <linux/io_uring.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
bool has_io_uring()
{
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN; // the newest that the daemon needs
    const Descriptor ring(static_cast<int>(syscall(SYS_io_uring_setup, 4, &parameters)));
    return ring.get() >= 0;
}

// Both directions, over a connection of each session.
void check_that_it_serves(size_t sessions)
{
    for (size_t i = 0; i < sessions; i++) {
        Isolate isolate;
        isolate.start();
        const Pair pair = connected(isolate);
        CHECK(isolate.result(isolate.write(pair.handle, "there")) == 5);
        CHECK(pair.peer.receive(5) == "there");
        pair.peer.send("and back");
        CHECK(isolate.read_exactly(pair.handle, 8) == "and back");
    }
}
} // namespace

TEST_CASE("a daemon that io_uring is denied to says so once, and serves with epoll")
{
    const int error = GENERATE(EPERM, ENOSYS);
    DaemonOptions options;
    options.arguments = {"--method", "io_uring", "--workers", "2"};
    options.under = {runfile("tests/behaviour/without_io_uring"), std::to_string(error)};
    const Daemon daemon(options);
    CHECK(daemon.count_lines(" warning event=no-method wanted=io_uring method=epoll .* errno=" +
                             std::to_string(error)) == 1);
    CHECK(daemon.count_lines(" event=serving .* method=epoll ") == 1);
    check_that_it_serves(2);
}

TEST_CASE("a daemon that io_uring is not denied to uses it, with a ring for each loop")
{
    if (!has_io_uring()) {
        SKIP("this system has no io_uring for us");
    }
    DaemonOptions options;
    options.arguments = {"--method", "io_uring", "--workers", "2"};
    const Daemon daemon(options);
    CHECK(daemon.count_lines("event=no-method") == 0);
    CHECK(daemon.count_lines(" event=serving .* method=io_uring ") == 1);
    check_that_it_serves(3);
}
