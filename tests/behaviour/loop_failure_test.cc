// What becomes of the daemon when an event loop cannot wait any more.
#include <catch2/catch.hpp>

#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

TEST_CASE("a daemon of two workers whose main loop cannot wait leaves in order, with status 1")
{
    if (is_sanitized) {
        SKIP("what is preloaded would come in the place of the sanitizer");
    }
    if (method_under_test() == "io_uring") {
        SKIP("its calls are not the C library's, which are what can be made to fail");
    }
    const Place elsewhere;
    const std::string flag = elsewhere.path("flag");
    const Descriptor file(open(flag.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(pwrite(file.get(), "\0", 1, 0) == 1);
    DaemonOptions options;
    options.arguments = {"--workers", "2", "--user-max-handles", "2"};
    options.under = {"/usr/bin/env", "LD_PRELOAD=" + runfile("tests/behaviour/failing_wait.so"),
                     "OCHE_TEST_FAILING_WAIT=" + flag};
    Daemon daemon(options);
    // Sessions go to the workers in turn. The second worker's session lacks a handle, so when it ends, and gives back
    // those that it has, it wakes all workers, the first one included.
    Isolate first;
    first.start();
    Isolate second;
    second.start();
    const Pair pair = connected(second);
    const int64_t listener = listening(second);
    CHECK(second.result(second.listen({loopback4(), 0})) == TCP_ERR_QUOTA);
    const Request accept = second.accept(listener);
    REQUIRE(pwrite(file.get(), "\1", 1, 0) == 1);
    daemon.kill(SIGHUP);
    CHECK(daemon.wait() == 1);
    CHECK(daemon.count_lines(" error event=loop-failed ") == 1);
    CHECK(daemon.count_lines("event=left") == 1);
    CHECK(second.result(accept) < 0);
}
