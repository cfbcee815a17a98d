// Somebody removes the files of a daemon that serves.
#include <catch2/catch.hpp>

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/successor.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
std::string lock_of(const Place &place)
{
    return place.socket_path() + ".lock";
}

std::string key_of(const Place &place)
{
    return place.socket_path() + ".key";
}

// A socket that is being made anew is there a moment before anybody listens.
bool is_reached(const std::string &socket)
{
    try {
        return Wire(socket).hello() > 0;
    } catch (const std::exception &) {
        return false;
    }
}
} // namespace

TEST_CASE("a daemon whose socket is gone makes it anew, by itself and at once on SIGHUP, and its sessions go on")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    std::filesystem::remove(daemon.place().socket_path());
    SECTION("by itself")
    {
    }
    SECTION("on SIGHUP")
    {
        daemon.kill(SIGHUP);
    }
    REQUIRE(daemon.logs("event=door-moved"));
    CHECK(is_reached(daemon.place().socket_path()));
    CHECK(daemon.place().server() == daemon.pid());
    CHECK(echoes(isolate, pair));
    Isolate newcomer;
    newcomer.start();
    CHECK(echoes(newcomer, connected(newcomer)));
    CHECK(daemon.place().starts() == 0);
}

TEST_CASE("so it does with its lock, its key, all of them, and their directory")
{
    const Place place;
    const std::string directory = place.path("own");
    const std::string socket = directory + "/oched.sock";
    ProcessOptions options;
    options.arguments = {oched_path(),      "--foreground", "--socket",          socket,        "--log-file",
                         place.path("log"), "--method",     method_under_test(), "--log-level", "debug"};
    Process daemon(options);
    const auto in_place = [&] {
        return std::filesystem::exists(socket + ".lock") && std::filesystem::exists(socket + ".key") &&
               std::filesystem::exists(socket);
    };
    REQUIRE(eventually([&] { return count_lines(contents_of(place.path("log")), "event=confined") == 1; }));
    REQUIRE(eventually(in_place));
    for (const std::vector<std::string> &removed : std::vector<std::vector<std::string>>{
             {socket + ".lock"}, {socket + ".key"}, {socket, socket + ".lock", socket + ".key"}, {directory}}) {
        CAPTURE(removed);
        for (const std::string &file : removed)
            std::filesystem::remove_all(file);
        daemon.kill(SIGHUP);
        REQUIRE(eventually(in_place));
        CHECK(eventually([&] { return contents_of(socket + ".lock") == std::to_string(daemon.pid()) + "\n"; }));
        REQUIRE(eventually([&] { return is_reached(socket); }));
        const ProcessResult second = run_daemon(socket);
        CHECK(second.status == 3);
        CHECK(contains(second.error, "process " + std::to_string(daemon.pid()) + ")"));
    }
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(socket));
    CHECK_FALSE(std::filesystem::exists(socket + ".lock"));
}

TEST_CASE("a daemon hands over at the socket that it has made anew")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::filesystem::remove(daemon.place().socket_path());
    daemon.kill(SIGHUP);
    REQUIRE(daemon.logs("event=door-moved"));
    {
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        CHECK(daemon.wait() == 0);
        CHECK(echoes(isolate, accepted(isolate, listener)));
        CHECK(is_reached(daemon.place().socket_path()));
    }
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
}

TEST_CASE("a daemon whose place another one has taken serves its sessions to their end, leaves, and removes nothing")
{
    DaemonOptions options;
    options.arguments = {"--drain-timeout", "3600"};
    Daemon orphan(options);
    const Place &place = orphan.place();
    auto isolate = std::make_unique<Isolate>();
    isolate->start();
    const Pair pair = connected(*isolate);
    for (const std::string &file : {place.socket_path(), lock_of(place), key_of(place)})
        std::filesystem::remove(file);
    ProcessOptions next;
    next.arguments = {oched_path(), "--foreground",         "--socket", place.socket_path(),
                      "--log-file", place.path("next.log"), "--method", method_under_test()};
    Process heir(next);
    if (!eventually([&] { return count_lines(contents_of(place.path("next.log")), "event=serving") == 1; },
                    std::chrono::seconds(5))) {
        // The first one was quicker.
        CHECK(heir.wait() == 3);
        return;
    }
    SECTION("when its last session ends")
    {
        REQUIRE(orphan.logs(" warning event=orphaned"));
        CHECK(echoes(*isolate, pair));
        isolate.reset();
    }
    SECTION("when it is told to")
    {
        isolate.reset();
        orphan.kill(SIGTERM);
    }
    CHECK(orphan.wait() == 0);
    CHECK(std::filesystem::exists(place.socket_path()));
    CHECK(contents_of(lock_of(place)) == std::to_string(heir.pid()) + "\n");
    CHECK(std::filesystem::exists(key_of(place)));
    CHECK(Wire(place.socket_path()).hello() > 0);
    heir.kill(SIGTERM);
    CHECK(heir.wait() == 0);
}

TEST_CASE("a library that finds the place taken, and nobody there, starts few daemons, and names the process")
{
    const Place place;
    std::ofstream(lock_of(place)) << getpid() << "\n";
    const Descriptor lock(open(lock_of(place).c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    const std::string error = oche_last_error();
    INFO(error);
    CHECK(contains(error, "process " + std::to_string(getpid())));
    CHECK(place.starts() >= 1);
    CHECK(place.starts() <= 12);
}
