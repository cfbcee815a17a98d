// The daemon and a client, each under Valgrind.
#include <catch2/catch.hpp>

#include <csignal>
#include <cstdlib>
#include <oche/oche.h>
#include <unistd.h>
#include <utility>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
const char *const valgrind = "/usr/bin/valgrind";

std::vector<std::string> under_valgrind(const std::string &log)
{
    return {valgrind,
            "--quiet",
            "--error-exitcode=99",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect,possible",
            "--track-fds=yes",
            "--suppressions=" + runfile("tests/behaviour/valgrind.supp"),
            "--log-file=" + log};
}

// Valgrind tells of open descriptors, but does not take them for errors.
size_t left_open(const std::string &log)
{
    return count_lines(log, "^==[0-9]+== Open ") - count_lines(log, "<inherited from parent>");
}
} // namespace

TEST_CASE("Valgrind finds no error, no leak and no descriptor left open, in the daemon nor in a client")
{
    if (is_sanitized) {
        SKIP("a build with sanitizers does not run under Valgrind");
    }
    if (getenv("LLVM_PROFILE_FILE")) {
        SKIP("the counters of tools/coverage are mapped where Valgrind lets nothing be mapped");
    }
    if (access(valgrind, X_OK) != 0) {
        SKIP(std::string("there is no ") + valgrind + "; tools/setup installs it");
    }
    const Place logs;
    const std::string daemon_log = logs.path("daemon");
    const std::string client_log = logs.path("client");
    DaemonOptions options;
    options.under = under_valgrind(daemon_log);
    // The filter would answer Valgrind, which opens and maps files for itself, as it answers the daemon.
    options.arguments = {"--no-seccomp", "--drain-timeout", "0"};
    Daemon daemon(options);

    // A session is lost.
    Companion lost;
    REQUIRE(lost.number("init") == 0);
    const int64_t listener = lost.number("listen");
    REQUIRE(listener > 0);
    REQUIRE(lost.number("pend-accept " + std::to_string(listener)) == 0);
    lost.process().kill(SIGKILL);
    REQUIRE(lost.process().wait());

    Companion client({}, "tests/behaviour/valgrind_client", under_valgrind(client_log));
    client.tell("work");
    CHECK(client.answer(much_patience) == "done");

    // The daemon is lost.
    daemon.kill(SIGTERM);
    const auto daemon_status = daemon.wait(much_patience);
    client.tell("lose");
    CHECK(client.answer(much_patience) == std::to_string(TCP_ERR_DAEMON_LOST));
    client.tell("quit");
    const auto client_status = client.process().wait(much_patience);

    for (const auto &[status, path] : {std::pair(daemon_status, daemon_log), std::pair(client_status, client_log)}) {
        const std::string log = contents_of(path);
        CAPTURE(log);
        CHECK(status.value_or(-1) == 0);
        CHECK(log.find("FILE DESCRIPTORS") != std::string::npos);
        CHECK(left_open(log) == 0);
    }
}
