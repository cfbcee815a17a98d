// A program in a network namespace of its own does not get the network of a daemon from elsewhere.
#include <catch2/catch.hpp>

#include <csignal>
#include <filesystem>
#include <sys/stat.h>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
const std::vector<std::string> elsewhere{"/usr/bin/unshare", "--net"};

// Why there is nothing to be tried, or null.
const char *why_nothing()
{
    ProcessOptions options;
    options.arguments = elsewhere;
    options.arguments.emplace_back("/bin/true");
    if (run(options).status != 0)
        return "no network namespaces can be made here";
    if (access("/proc/sys/net/core/dev_weight", F_OK) < 0)
        return "these tests are in a network namespace of their own already";
    return nullptr;
}
} // namespace

TEST_CASE("a program in another network namespace is refused, and both sides say why")
{
    if (const char *why = why_nothing()) {
        SKIP(why);
    }
    const Daemon daemon;
    Companion companion({}, "tests/support/companion", elsewhere);
    CHECK(companion.number("init") == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(contains(companion.ask("error"), "another network namespace"));
    CHECK(daemon.logs(" warning session=.* event=refused .*another network namespace"));
    CHECK(daemon.place().starts() == 0);
    Isolate isolate;
    isolate.start();
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("where nobody names a socket, each network namespace has a daemon of its own, with its own network")
{
    if (const char *why = why_nothing()) {
        SKIP(why);
    }
    const Place place;
    const std::string runtime = place.path("run");
    REQUIRE(mkdir(runtime.c_str(), 0700) == 0);
    const PeerListener target;
    const std::vector<std::string> environment{"OCHE_SOCKET", "XDG_RUNTIME_DIR=" + runtime};
    Companion here(environment);
    Companion there(environment, "tests/support/companion", elsewhere);
    REQUIRE(here.number("init") == 0);
    REQUIRE(there.number("init") == 0);
    CHECK(here.number("connect " + std::to_string(target.port())) > 0);
    CHECK(there.number("connect " + std::to_string(target.port())) == TCP_ERR_CONNECT_FAILED);
    CHECK(place.starts() == 2);
    CHECK(std::filesystem::is_socket(runtime + "/oche/oched.sock"));
    size_t numbered = 0;
    for (const auto &entry : std::filesystem::directory_iterator(runtime + "/oche"))
        numbered += count_lines(entry.path().filename(), "^oched-[0-9]+\\.sock$");
    CHECK(numbered == 1);
}

TEST_CASE("a client of another PID namespace has no number in the log")
{
    const Place place;
    const auto of_its_own = [&](const std::vector<std::string> &command) {
        ProcessOptions options;
        options.arguments = {"/usr/bin/unshare", "--pid", "--fork", "--kill-child"};
        options.arguments.insert(options.arguments.end(), command.begin(), command.end());
        return options;
    };
    if (run(of_its_own({"/bin/true"})).status != 0) {
        SKIP("no PID namespaces can be made here");
    }
    const Process container(of_its_own({oched_path(), "--foreground", "--socket", place.socket_path(), "--log-file",
                                        place.path("log"), "--method", method_under_test()}));
    REQUIRE(eventually([&] { return place.is_served(); }));
    Isolate isolate;
    isolate.start();
    CHECK(eventually([&] { return count_lines(contents_of(place.path("log")), "event=open pid=\\? ") == 1; }));
}
