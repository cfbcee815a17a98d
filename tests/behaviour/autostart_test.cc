// The library starts the daemon when nobody serves.
#include <catch2/catch.hpp>

#include <climits>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/companion.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/place.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
// A script in the place of a daemon.
void write_script(const std::string &path, const std::string &body)
{
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    chmod(path.c_str(), 0700);
}

bool error_mentions(const std::string &text)
{
    INFO(oche_last_error());
    return std::string(oche_last_error()).find(text) != std::string::npos;
}
} // namespace

TEST_CASE("tcp_init starts the daemon that OCHE_DAEMON names, at the socket that OCHE_SOCKET names")
{
    const Place place;
    Isolate isolate;
    CHECK_FALSE(place.is_served());
    isolate.start();
    CHECK(place.is_served());
    CHECK(place.starts() == 1);
    CHECK(eventually([&] { return place.daemons() == 1; }));
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
    CHECK(pair.peer.receive(1) == "x");
}

TEST_CASE("a daemon that is there is used, and none is started")
{
    const Place place;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    CHECK(one.destroy() == 0);
    one.start();
    CHECK(place.starts() == 1);
}

TEST_CASE("the daemon outlives the process that started it")
{
    const Place place;
    Companion companion;
    REQUIRE(companion.number("init") == 0);
    CHECK(companion.number("children") == ECHILD);
    const auto server = place.server();
    REQUIRE(server);
    companion.process().kill(SIGKILL);
    CHECK(companion.process().wait() == 128 + SIGKILL);
    Isolate isolate;
    isolate.start();
    CHECK(place.server() == server);
    CHECK(place.starts() == 1);
}

TEST_CASE("many processes at once start exactly one daemon")
{
    const Place place;
    std::vector<std::unique_ptr<Companion>> companions;
    for (int i = 0; i < 12; i++) {
        companions.push_back(std::make_unique<Companion>());
    }
    for (auto &companion : companions) {
        companion->tell("init");
    }
    for (auto &companion : companions) {
        CHECK(companion->answer() == "0");
    }
    CHECK(eventually([&] { return place.daemons() == 1; }));
    const PeerListener target;
    for (auto &companion : companions) {
        CHECK(companion->number("connect " + std::to_string(target.port())) > 0);
    }
    CHECK(eventually([&] { return place.daemons() == 1; }));
}

TEST_CASE("a daemon that was started automatically leaves when it is idle for a while")
{
    const Place place;
    place.start_with({"--idle-exit", "1"});
    {
        Isolate isolate;
        isolate.start();
    }
    CHECK(eventually([&] { return place.daemons() == 0; }));
    CHECK_FALSE(std::filesystem::exists(place.socket_path()));
    // And comes back.
    Isolate isolate;
    isolate.start();
    CHECK(place.starts() == 2);
}

TEST_CASE("a wrong path of the daemon gives DAEMON_UNAVAILABLE and an error that names it")
{
    const Place place;
    setenv("OCHE_DAEMON", "/nonexistent/oched", 1);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(error_mentions("/nonexistent/oched"));
    CHECK(error_mentions("No such file"));
    CHECK(isolate.result(isolate.connect({loopback4(), 80})) == TCP_ERR_NOT_INITIALIZED);
}

TEST_CASE("a daemon that fails to start gives DAEMON_UNAVAILABLE and an error that says what it said")
{
    const Place place;
    write_script(place.path("oched"), "echo 'oched: it cannot be' >&2; exit 1");
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(error_mentions(place.path("oched")));
    CHECK(error_mentions("it cannot be"));
}

TEST_CASE("a daemon that starts and never serves gives DAEMON_UNAVAILABLE within five seconds")
{
    const Place place;
    write_script(place.path("oched"), "exec sleep 20");
    Isolate isolate;
    int64_t result = 0;
    const auto time = time_of([&] { result = isolate.init(); });
    CHECK(result == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(time < std::chrono::seconds(10)); // a busy machine has as much again
    CHECK_FALSE(std::string(oche_last_error()).empty());
}

TEST_CASE("a socket path that is too long gives DAEMON_UNAVAILABLE and an error that says so")
{
    const Place place;
    setenv("OCHE_SOCKET", place.path(std::string(120, 'x')).c_str(), 1);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK_FALSE(std::string(oche_last_error()).empty());
}

TEST_CASE("without OCHE_SOCKET the socket is in the user's runtime directory")
{
    const Place place;
    const std::string runtime = place.path("run");
    REQUIRE(mkdir(runtime.c_str(), 0700) == 0);
    unsetenv("OCHE_SOCKET");
    setenv("XDG_RUNTIME_DIR", runtime.c_str(), 1);
    {
        Isolate isolate;
        isolate.start();
        CHECK(std::filesystem::is_socket(runtime + "/oche/oched.sock"));
        struct stat status = {};
        REQUIRE(stat((runtime + "/oche").c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0700);
        // Where the place looks when it cleans up.
        std::filesystem::create_hard_link(runtime + "/oche/oched.sock", place.socket_path());
    }
    unsetenv("XDG_RUNTIME_DIR");
}

TEST_CASE("without OCHE_DAEMON the oched beside the library is started")
{
    const Place place;
    const std::string beside = place.path("lib");
    std::filesystem::create_directory(beside);
    std::filesystem::copy(place.path("oched"), beside + "/oched");
    std::filesystem::copy(std::filesystem::canonical(runfile("client/liboche.so")), beside + "/liboche.so");
    Companion companion({"OCHE_DAEMON", "LD_LIBRARY_PATH=" + beside, "PATH=/nonexistent"});
    CHECK(companion.ask("init") == "0");
    CHECK(place.starts() == 1);
}

TEST_CASE("without OCHE_DAEMON and nothing beside the library, the oched in PATH is started")
{
    const Place place;
    const std::string library = place.path("lib");
    std::filesystem::create_directory(library);
    std::filesystem::copy(std::filesystem::canonical(runfile("client/liboche.so")), library + "/liboche.so");
    const std::string path = std::string(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    Companion companion({"OCHE_DAEMON", "LD_LIBRARY_PATH=" + library, "PATH=" + place.path("") + ":" + path});
    CHECK(companion.ask("init") == "0");
    CHECK(place.starts() == 1);
}

TEST_CASE("the daemon has none of the limits and priorities of the program that was the first to need it")
{
    const Place place;
    // ThreadSanitizer does not work with addresses that are not randomized.
    const std::string not_random = is_sanitized ? "" : "setarch --addr-no-randomize ";
    Companion companion(
        {}, "tests/support/companion",
        {"/bin/sh", "-c",
         "ulimit -S -t 1000; ulimit -S -n 64; ulimit -S -f 1000000000000; echo 500 >/proc/self/oom_score_adj; "
         "exec nice -n 7 taskset 1 " +
             not_random + "chrt --batch 0 \"$@\"",
         "sh"});
    REQUIRE(companion.number("init") == 0);
    const pid_t pid = place.server().value();
    const std::string process = "/proc/" + std::to_string(pid) + "/";
    const std::string limits = contents_of(process + "limits"), own = contents_of("/proc/self/limits");
    CHECK(count_lines(limits, "^Max cpu time +1000 ") == 0);
    CHECK(count_lines(limits, "^Max open files +64 ") == 0);
    CHECK(count_lines(limits, "^Max file size +[0-9]*000000000000 ") == 0);
    CHECK(contents_of(process + "personality") == contents_of("/proc/self/personality"));
    cpu_set_t daemon_set, own_set;
    REQUIRE(sched_getaffinity(pid, sizeof daemon_set, &daemon_set) == 0);
    REQUIRE(sched_getaffinity(0, sizeof own_set, &own_set) == 0);
    CHECK(CPU_COUNT(&daemon_set) >= CPU_COUNT(&own_set));
    // What takes a privilege to be set back is set back for who has it.
    const ProcessResult up =
        run({{"/usr/bin/nice", "-n", "7", "/usr/bin/nice", "-n", "-7", "/bin/true"}, {}, -1, -1, -1, 0, 0});
    if (up.error.empty()) {
        CHECK(sched_getscheduler(pid) == SCHED_OTHER);
        CHECK(getpriority(PRIO_PROCESS, static_cast<id_t>(pid)) == 0);
    }
    CHECK(contents_of(process + "oom_score_adj") == contents_of("/proc/self/oom_score_adj"));
}
