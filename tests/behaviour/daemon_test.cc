// oched as a program: its command line, its files, its signals.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <future>
#include <grp.h>
#include <memory>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
ProcessResult run_oched(const std::vector<std::string> &arguments)
{
    ProcessOptions options;
    options.arguments = {oched_path()};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    return run(options);
}

mode_t mode_of(const std::string &path)
{
    struct stat status = {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}
} // namespace

TEST_CASE("--help names every option, --version the version, and both leave with 0")
{
    const ProcessResult help = run_oched({"--help"});
    CHECK(help.status == 0);
    CHECK(help.error.empty());
    for (const char *option : {"--socket",
                               "--workers",
                               "--method",
                               "--idle-exit",
                               "--log-level",
                               "--log-file",
                               "--log-size",
                               "--foreground",
                               "--max-sessions",
                               "--max-handles",
                               "--max-queued-bytes",
                               "--max-arena-bytes",
                               "--drain-timeout",
                               "--handover-timeout",
                               "--user-max-handles",
                               "--user-max-queued-bytes",
                               "--user-max-arena-bytes",
                               "--user-max-requests",
                               "--user-max-session-rate",
                               "--user-max-connection-rate",
                               "--allow-connect",
                               "--allow-listen",
                               "--user",
                               "--no-seccomp",
                               "--replace",
                               "--version",
                               "--help"}) {
        CAPTURE(option);
        CHECK(contains(help.output, option));
    }
    const ProcessResult version = run_oched({"--version"});
    CHECK(version.status == 0);
    CHECK(version.output == std::string("oched ") + oche_version() + "\n");
}

TEST_CASE("a wrong command line gives status 2, and standard error names what is wrong")
{
    const std::vector<std::vector<std::string>> wrong{
        {"--nonsense"},
        {"--workers", "0"},
        {"--workers", "many"},
        {"--workers"},
        {"--method", "kqueue"},
        {"--log-level", "loud"},
        {"--log-size", "much"},
        {"--log-size", "100"},
        {"--log-size", "1T"},
        {"--log-size", "1Mb"},
        {"--log-size", "-1"},
        {"--log-size", "99999999999G"},
        {"--idle-exit", "-1"},
        {"--max-handles", "99999999999999999999"},
        {"--max-sessions", ""},
        {"--drain-timeout", "5s"},
        {"--handover-timeout", "0"},
        {"--replace=please"},
        {"stray"},
    };
    for (const auto &arguments : wrong) {
        CAPTURE(arguments);
        const ProcessResult result = run_oched(arguments);
        CHECK(result.status == 2);
        CHECK(result.output.empty());
        std::string culprit = arguments[0].substr(arguments[0].find_first_not_of('-'));
        culprit = culprit.substr(0, culprit.find('='));
        CHECK(contains(result.error, culprit));
    }
}

TEST_CASE("a second daemon on the same socket says so and leaves with 3, and the first goes on")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    for (const char *how : {"--foreground", "--workers=1"}) { // the second of them goes to the background
        const ProcessResult second = run_oched({how, "--socket", daemon.place().socket_path()});
        CHECK(second.status == 3);
        CHECK(contains(second.error, daemon.place().socket_path()));
    }
    CHECK(connected(isolate).handle > 0);
    CHECK(daemon.place().is_served());
}

TEST_CASE("a stale socket file is replaced")
{
    const Place place;
    {
        Process first(
            {{oched_path(), "--foreground", "--socket", place.socket_path(), "--log-file", place.path("first.log")},
             {},
             -1,
             -1,
             -1,
             0,
             0});
        REQUIRE(eventually([&] { return place.is_served(); }));
        first.kill(SIGKILL);
        REQUIRE(first.wait() == 128 + SIGKILL);
    }
    REQUIRE(std::filesystem::exists(place.socket_path()));
    REQUIRE_FALSE(place.is_served());
    Isolate isolate;
    isolate.start();
    CHECK(connected(isolate).handle > 0);
    CHECK(place.starts() == 1);
}

TEST_CASE("a daemon that is killed as soon as it listens leaves nobody who does")
{
    const Place place;
    // Where processors are short, what the daemon forks comes late.
    std::vector<std::unique_ptr<Process>> burners;
    for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); i++) {
        ProcessOptions options;
        options.arguments = {"/bin/sh", "-c", "while :; do :; done"};
        burners.push_back(std::make_unique<Process>(options));
    }
    for (int round = 0; round < 20; round++) {
        ProcessOptions options;
        options.arguments = {oched_path(), "--foreground", "--socket", place.socket_path()};
        Process daemon(options);
        REQUIRE(eventually([&] { return place.is_served(); }));
        daemon.kill(SIGKILL);
        REQUIRE(daemon.wait() == 128 + SIGKILL);
        REQUIRE_FALSE(place.is_served());
    }
}

TEST_CASE("a file at the socket's path that is no socket is left alone, and the daemon says so")
{
    const Place place;
    REQUIRE(run({{"/bin/cp", "/proc/self/status", place.socket_path()}, {}, -1, -1, -1, 0, 0}).status == 0);
    const ProcessResult result = run_oched({"--foreground", "--socket", place.socket_path()});
    CHECK(result.status == 1);
    CHECK(contains(result.error, place.socket_path()));
    CHECK(std::filesystem::is_regular_file(place.socket_path()));
}

TEST_CASE("SIGTERM makes the daemon leave with 0 and take its files along")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    const int64_t result = isolate.result(read);
    CHECK((result == TCP_ERR_DAEMON_LOST || result == TCP_ERR_CLOSED));
    CHECK(pair.peer.end() != End::none);
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path() + ".lock"));
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path() + ".key"));
}

TEST_CASE("SIGTERM that comes while the daemon starts makes it leave in order")
{
    const Place place;
    ProcessOptions options;
    options.arguments = {oched_path(), "--foreground", "--socket", place.socket_path()};
    options.pending = SIGTERM;
    Process daemon(options);
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(place.socket_path()));
    CHECK_FALSE(std::filesystem::exists(place.socket_path() + ".lock"));
}

TEST_CASE("SIGTERM sends queued writes first")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(32 << 20);
    const Request write = isolate.write(pair.handle, sent);
    const Pair other = connected(isolate); // its reply says that the daemon has the write
    daemon.kill(SIGTERM);
    const std::string received = pair.peer.receive_all();
    CHECK(received.size() == sent.size());
    CHECK((received == sent));
    CHECK(isolate.result(write) == static_cast<int64_t>(sent.size()));
    CHECK(daemon.wait() == 0);
}

TEST_CASE("SIGTERM does not wait for a peer that reads nothing longer than --drain-timeout says")
{
    DaemonOptions options;
    options.arguments = {"--drain-timeout", "1"};
    Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, std::string(32 << 20, 'x'));
    CHECK(isolate.is_pending(write));
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(isolate.result(write) < 0);
    CHECK((pair.peer.end() == End::reset));
}

TEST_CASE("a second SIGTERM does not wait at all")
{
    DaemonOptions options;
    options.arguments = {"--drain-timeout", "3600"};
    Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, std::string(32 << 20, 'x'));
    CHECK(isolate.is_pending(write));
    daemon.kill(SIGTERM);
    CHECK_FALSE(daemon.wait(std::chrono::milliseconds(300)));
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("signals that do not end do not keep the daemon from leaving in order")
{
    for (int round = 0; round < 10; round++) {
        const Place place;
        ProcessOptions options;
        options.arguments = {oched_path(), "--foreground", "--socket", place.socket_path()};
        Process daemon(options);
        REQUIRE(eventually([&] { return place.is_served(); }));
        const auto deadline = Clock::now() + patience;
        while (!daemon.wait(std::chrono::milliseconds(0)) && Clock::now() < deadline) {
            kill(daemon.pid(), SIGTERM);
        }
        CHECK(daemon.wait(std::chrono::milliseconds(0)) == 0);
        CHECK_FALSE(std::filesystem::exists(place.socket_path()));
    }
}

TEST_CASE("SIGHUP reopens the log file")
{
    const Place elsewhere;
    const std::string log = elsewhere.path("rotated.log");
    DaemonOptions options;
    options.arguments = {"--log-file", log};
    const Daemon daemon(options);
    std::filesystem::rename(log, log + ".1");
    daemon.kill(SIGHUP);
    // The new file is there a moment before the daemon writes to it.
    REQUIRE(eventually([&] { return contains(contents_of(log), "event=log-reopened"); }));
    setenv("OCHE_SOCKET", daemon.place().socket_path().c_str(), 1);
    Isolate isolate;
    isolate.start();
    CHECK(eventually([&] { return contains(contents_of(log), "event=open"); }));
    CHECK_FALSE(contains(contents_of(log + ".1"), "event=open"));
    CHECK(mode_of(log) == 0600);
}

TEST_CASE("a daemon that is started with closed standard streams writes nothing into files of its own by mistake")
{
    const Place place;
    for (const char *where : {"foreground", "background"}) {
        CAPTURE(where);
        const bool background = where == std::string("background");
        ProcessOptions options;
        options.arguments = {"/bin/sh",    "-c",       "exec \"$0\" \"$@\" <&- >&- 2>&-",
                             oched_path(), "--socket", place.socket_path()};
        if (!background)
            options.arguments.push_back("--foreground");
        Process process(options);
        if (background)
            CHECK(process.wait() == 0);
        REQUIRE(eventually([&] { return place.is_served(); }));
        REQUIRE(eventually([&] { return place.server().has_value(); }));
        const pid_t pid = place.server().value();
        for (int stream = 0; stream <= 2; stream++)
            CHECK(descriptors_of(pid).at(stream) == "/dev/null");
        CHECK(contents_of(place.socket_path() + ".lock") == std::to_string(pid) + "\n");
        Isolate isolate;
        isolate.start();
        CHECK(connected(isolate).handle > 0);
        CHECK(isolate.destroy() == 0);
        send_signal(pid, SIGTERM);
        CHECK(eventually([&] { return !is_alive(pid); }));
    }
}

TEST_CASE("a daemon in the background lets go of its directory, whatever paths it was given, and so does its successor")
{
    const Place place;
    const auto directory_of = [](pid_t pid) {
        std::error_code gone;
        return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd", gone).string();
    };
    std::filesystem::create_symlink(oched_path(), place.path("program"));
    ProcessOptions options;
    options.arguments = {"/bin/sh", "-c",
                         "cd '" + place.path("") + "' && exec ./program --socket oched.sock --log-file log --method " +
                             method_under_test()};
    options.environment = {"OCHE_SOCKET"};
    REQUIRE(Process(options).wait() == 0);
    const std::string lock = place.socket_path() + ".lock", log = place.path("log");
    const pid_t first = atoi(contents_of(lock).c_str());
    REQUIRE(first > 0);
    CHECK(directory_of(first) == "/");
    std::vector<pid_t> daemons{first};
    std::vector<std::string> command_lines;
    for (size_t round = 1; round <= 2; round++) {
        send_signal(daemons.back(), SIGUSR2);
        REQUIRE(eventually([&] { return count_lines(contents_of(log), "event=inherited") == round; }));
        REQUIRE(eventually([&] { return !is_alive(daemons.back()); }));
        daemons.push_back(atoi(contents_of(lock).c_str()));
        CHECK(daemons.back() != daemons[round - 1]);
        CHECK(eventually([&] { return directory_of(daemons.back()) == "/"; }));
        command_lines.push_back(contents_of("/proc/" + std::to_string(daemons.back()) + "/cmdline"));
    }
    CHECK(command_lines[0] == command_lines[1]);
    for (const pid_t respawner : place.respawners()) {
        CHECK(directory_of(respawner) == "/");
    }
    send_signal(daemons.back(), SIGTERM);
    CHECK(eventually([&] { return !is_alive(daemons.back()); }));
    CHECK_FALSE(std::filesystem::exists(place.socket_path()));
    CHECK_FALSE(std::filesystem::exists(lock));
}

TEST_CASE("where there is no /dev/null the daemon starts all the same, confined, and no file of it becomes a stream")
{
    const Place place;
    // As arguments of a program that runs another one.
    const std::vector<std::string> without_devices{
        "/usr/bin/unshare", "--mount", "/bin/sh", "-c",
        "mount -t tmpfs none /dev && mount -o remount,ro /dev && exec \"$0\" \"$@\""};
    const auto run_there = [&](const std::vector<std::string> &command) {
        ProcessOptions options;
        options.arguments = without_devices;
        options.arguments.back() += " <&- >&- 2>&-";
        options.arguments.insert(options.arguments.end(), command.begin(), command.end());
        return Process(options).wait();
    };
    if (run_there({"/bin/true"}) != 0) {
        SKIP("nothing can be mounted here");
    }
    std::string log = place.socket_path() + ".log";
    SECTION("started by hand")
    {
        REQUIRE(run_there({oched_path(), "--socket", place.socket_path(), "--method", method_under_test()}) == 0);
    }
    SECTION("started by the library")
    {
        Companion companion({}, "tests/support/companion", without_devices);
        CHECK(companion.number("init") == 0);
        log = place.path("started.log");
    }
    const pid_t pid = atoi(contents_of(place.socket_path() + ".lock").c_str());
    REQUIRE(pid > 0);
    REQUIRE(eventually([&] { return count_lines(contents_of(log), "event=confined") == 1; }));
    CHECK(count_lines(contents_of(log), "event=not-confined what=landlock .*No such file") == 0);
    for (int stream = 0; stream <= 2; stream++) {
        CHECK(descriptors_of(pid).at(stream) == "/");
    }
    Isolate isolate;
    isolate.start();
    CHECK(echoes(isolate, connected(isolate)));
}

TEST_CASE("the socket has mode 0600, and a directory that the daemon makes for it 0700")
{
    const Place place;
    const std::string socket = place.path("new/oched.sock");
    Process process(
        {{oched_path(), "--foreground", "--socket", socket, "--log-file", place.path("log")}, {}, -1, -1, -1, 0, 0});
    REQUIRE(eventually([&] { return contains(contents_of(place.path("log")), "event=serving"); }));
    CHECK(mode_of(socket) == 0600);
    CHECK(mode_of(place.path("new")) == 0700);
    CHECK(mode_of(place.path("log")) == 0600);
    process.kill(SIGTERM);
    CHECK(process.wait() == 0);
}

TEST_CASE("a directory that others may write to is refused")
{
    const Place place;
    std::filesystem::create_directory(place.path("open"));
    REQUIRE(chmod(place.path("open").c_str(), 0777) == 0);
    const ProcessResult result = run_oched({"--foreground", "--socket", place.path("open/oched.sock")});
    CHECK(result.status == 1);
    CHECK(contains(result.error, place.path("open")));
}

TEST_CASE("a process of another user is refused, even if it gets at the socket")
{
    if (geteuid() != 0) {
        SKIP("only root can become another user");
    }
    const Daemon daemon;
    const size_t before = daemon.count_lines(" warning session=");
    // The door is open, the daemon still looks who comes.
    REQUIRE(chmod(daemon.place().path("").c_str(), 0755) == 0);
    REQUIRE(chmod(daemon.place().socket_path().c_str(), 0666) == 0);
    const pid_t child = fork();
    if (child == 0) {
        constexpr uid_t nobody = 65534;
        if (setgroups(0, nullptr) < 0 || setresgid(nobody, nobody, nobody) < 0 ||
            setresuid(nobody, nobody, nobody) < 0) {
            _exit(2);
        }
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        strncpy(address.sun_path, daemon.place().socket_path().c_str(), sizeof address.sun_path - 1);
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) {
            _exit(3);
        }
        const timeval limit{5, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        char byte = 0;
        const ssize_t count = recv(fd, &byte, 1, 0);
        _exit(count == 0 || (count < 0 && errno == ECONNRESET) ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(daemon.logs(" warning session=.*uid=65534"));
    CHECK(daemon.count_lines(" warning session=") == before + 1);
}

TEST_CASE("a daemon without sessions leaves after --idle-exit, and not before")
{
    DaemonOptions options;
    options.arguments = {"--idle-exit", "1"};
    Daemon daemon(options);
    {
        Isolate isolate;
        isolate.start();
        CHECK_FALSE(daemon.wait(std::chrono::milliseconds(1500)));
        CHECK(connected(isolate).handle > 0);
    }
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
}

TEST_CASE("an idle daemon makes no system calls")
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer's own thread wakes up now and then");
#endif
    DaemonOptions options;
    options.arguments = {"--workers", "2"};
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair reading = connected(isolate);
    const Pair writing = connected(isolate);
    const int64_t listener = listening(isolate);
    const Request read = isolate.read(reading.handle);
    const Request accept = isolate.accept(listener);
    const Request write = isolate.write(writing.handle, std::string(32 << 20, 'x'));
    // Whoever makes a system call that waits leaves the processor, and comes back. How soon the daemon has done what
    // there is to do, and begins to be idle, is the machine's business.
    unsigned long before = 0;
    const bool is_idle = eventually([&] {
        before = context_switches_of(daemon.pid());
        std::this_thread::sleep_for(std::chrono::seconds(1));
        return context_switches_of(daemon.pid()) == before;
    });
    CHECK(is_idle);
    CHECK(cpu_time_of(daemon.pid()) < std::chrono::seconds(2));
    CHECK(isolate.is_pending(read, std::chrono::milliseconds(0)));
    CHECK(isolate.is_pending(accept, std::chrono::milliseconds(0)));
    CHECK(isolate.is_pending(write, std::chrono::milliseconds(0)));
}

TEST_CASE("each session leaves one line when it opens and one when it ends, each failure one with errno")
{
    const Daemon daemon;
    {
        Isolate isolate;
        isolate.start();
        CHECK(isolate.result(isolate.connect({loopback4(), free_port()})) == TCP_ERR_CONNECT_FAILED);
        CHECK(isolate.destroy() == 0);
    }
    CHECK(daemon.logs("event=end"));
    const std::string time = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z ";
    CHECK(daemon.count_lines(time + "info session=[0-9]+ event=open pid=" + std::to_string(getpid())) == 1);
    CHECK(daemon.count_lines(time + "info session=[0-9]+ event=end ") == 1);
    CHECK(daemon.count_lines(time + "[a-z]+ session=[0-9]+ event=connect-failed .*Connection refused.*errno=111") == 1);
    CHECK(daemon.count_lines(time) == count_lines(daemon.log(), "."));
}

TEST_CASE("sessions are spread over the workers, and each works")
{
    DaemonOptions options;
    options.arguments = {"--workers", "4"};
    const Daemon daemon(options);
    std::vector<std::unique_ptr<Isolate>> isolates;
    for (int i = 0; i < 9; i++) {
        isolates.push_back(std::make_unique<Isolate>());
        isolates.back()->start();
        const Pair pair = connected(*isolates.back());
        CHECK(isolates.back()->result(isolates.back()->write(pair.handle, "x")) == 1);
        CHECK(pair.peer.receive(1) == "x");
    }
}
