// Where the log goes, what happens when that takes nothing, and how much it can become.
#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <poll.h>
#include <regex>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/others.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Two ends of something that the daemon logs to.
struct Channel {
    Descriptor reader;
    Descriptor writer;
};

Channel pipe_ends()
{
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

Channel socket_ends()
{
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

Channel terminal_ends()
{
    Channel channel{Descriptor(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), Descriptor()};
    REQUIRE(grantpt(channel.reader.get()) == 0);
    REQUIRE(unlockpt(channel.reader.get()) == 0);
    channel.writer = Descriptor(open(ptsname(channel.reader.get()), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    REQUIRE(channel.writer);
    return channel;
}

void set_blocking(int fd, bool blocks)
{
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

// So that not even a line has room. The output of a terminal is stopped, as Control-S does it.
void stop(int fd)
{
    if (isatty(fd)) {
        REQUIRE(tcflow(fd, TCOOFF) == 0);
        return;
    }
    set_blocking(fd, false);
    for (const std::string &piece : {std::string(4096, '.'), std::string(".")}) {
        while (write(fd, piece.data(), piece.size()) > 0) {
        }
    }
    set_blocking(fd, true);
}

void go_on(int fd)
{
    if (isatty(fd)) {
        REQUIRE(tcflow(fd, TCOON) == 0);
    }
}

// Reads what comes until some of it matches; `nudge` makes more come.
bool reads(
    int fd, const std::string &expression, const std::function<void()> &nudge = [] {})
{
    std::string text;
    set_blocking(fd, false);
    return eventually([&] {
        nudge();
        char bytes[4096];
        for (ssize_t count; (count = read(fd, bytes, sizeof bytes)) > 0;) {
            text.append(bytes, static_cast<size_t>(count));
        }
        text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
        return count_lines(text, expression) > 0;
    });
}

// A line for each.
void open_sessions(const Place &place, int count)
{
    for (int i = 0; i < count; i++) {
        Wire(place.socket_path()).hello();
    }
}

uint64_t size_of(const std::string &path)
{
    std::error_code none;
    const auto size = std::filesystem::file_size(path, none);
    return none ? 0 : size;
}

// The numbers of the sessions that were opened, in the order of their lines.
std::vector<int> opened_in(const std::string &text)
{
    std::vector<int> numbers;
    for (const std::string &line : lines_with(text, "event=open")) {
        std::smatch match;
        if (std::regex_search(line, match, std::regex("session=([0-9]+)"))) {
            numbers.push_back(std::stoi(match[1]));
        }
    }
    return numbers;
}

// Bytes that a file of that process may have.
void limit_files_of(pid_t pid, rlim_t size)
{
    rlimit limit{};
    REQUIRE(prlimit(pid, RLIMIT_FSIZE, nullptr, &limit) == 0);
    limit.rlim_cur = size;
    REQUIRE(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr) == 0);
}

// Runs oched to its end, which comes at once if it refuses to go to the background.
ProcessResult run_in_background(const Place &place, const std::vector<std::string> &more = {})
{
    ProcessOptions options;
    options.arguments = {oched_path(), "--socket", place.socket_path(), "--method", method_under_test()};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    return run(options);
}
} // namespace

TEST_CASE("a log that nobody reads stops no session and no signal, and counts what is lost")
{
    const Place place;
    Channel channel;
    ProcessOptions options;
    options.arguments = {oched_path(),        "--foreground", "--socket",
                         place.socket_path(), "--method",     method_under_test()};
    SECTION("a pipe")
    {
        channel = pipe_ends();
    }
    SECTION("a pipe that another user has made")
    {
        if (why_no_others()) {
            return;
        }
        channel = pipe_ends();
        REQUIRE(chown(place.path("").c_str(), nobody, nobody) == 0);
        const std::string program = place.path("program");
        std::filesystem::copy_file(oched_path(), program);
        chmod(program.c_str(), 0755);
        options.arguments[0] = program;
        options.user = nobody;
    }
    SECTION("a socket")
    {
        channel = socket_ends();
    }
    SECTION("a terminal")
    {
        channel = terminal_ends();
    }
    SECTION("a FIFO that was named")
    {
        const std::string path = place.path("fifo");
        REQUIRE(mkfifo(path.c_str(), 0600) == 0);
        channel.reader = Descriptor(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        channel.writer = Descriptor(open(path.c_str(), O_WRONLY | O_CLOEXEC));
        options.arguments.insert(options.arguments.end(), {"--log-file", path});
    }
    SECTION("a pipe that was named")
    {
        channel = pipe_ends();
        options.output = channel.writer.get();
        options.arguments.insert(options.arguments.end(), {"--log-file", "/dev/stdout"});
    }
    stop(channel.writer.get());
    if (options.output < 0) {
        options.error = channel.writer.get();
    }
    Process daemon(options);
    REQUIRE(eventually([&] { return place.is_served(); }));
    if (options.user) {
        CHECK(Wire(place.socket_path()).is_dropped()); // it is another user's, which makes a line
    } else {
        Isolate isolate;
        isolate.start();
        for (int i = 0; i < 3; i++) {
            CHECK(isolate.result(isolate.connect({loopback4(), free_port()})) == TCP_ERR_CONNECT_FAILED);
        }
        CHECK(echoes(isolate, connected(isolate)));
    }
    // What others see of the open file has not changed.
    CHECK((fcntl(channel.writer.get(), F_GETFL) & O_NONBLOCK) == 0);
    go_on(channel.writer.get());
    CHECK(reads(channel.reader.get(), " error event=log-lines-lost count=[1-9][0-9]*$", [&] { daemon.kill(SIGHUP); }));
    stop(channel.writer.get());
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(place.socket_path()));
}

TEST_CASE("the respawner does not wait for the reader of the log either")
{
    const Channel channel = pipe_ends();
    const Place place;
    ProcessOptions options;
    options.arguments = {oched_path(),        "--foreground", "--socket",
                         place.socket_path(), "--method",     method_under_test()};
    options.error = channel.writer.get();
    Process daemon(options);
    REQUIRE(reads(channel.reader.get(), "event=confined"));
    stop(channel.writer.get());
    daemon.kill(SIGUSR2);
    CHECK(daemon.wait() == 0);
    CHECK(eventually([&] { return place.server().has_value() && place.respawners().size() == 1; }));
    CHECK(place.server() != daemon.pid());
}

TEST_CASE("a log whose file may not grow is like a full disk: the daemon goes on, and says later what is lost")
{
    const Place elsewhere;
    const std::string log = elsewhere.path("log");
    DaemonOptions options;
    options.arguments = {"--log-file", log};
    Daemon daemon(options);
    setenv("OCHE_SOCKET", daemon.place().socket_path().c_str(), 1);
    Isolate isolate;
    isolate.start();
    REQUIRE(eventually([&] { return count_lines(contents_of(log), "event=open") == 1; }));
    limit_files_of(daemon.pid(), size_of(log) + 10);
    for (int i = 0; i < 3; i++) {
        CHECK(isolate.result(isolate.connect({loopback4(), free_port()})) == TCP_ERR_CONNECT_FAILED);
    }
    CHECK(echoes(isolate, connected(isolate)));
    // SIGXFSZ is blocked in the threads of the workers, so the main thread must have something to say, too.
    daemon.kill(SIGHUP);
    open_sessions(daemon.place(), 1);
    CHECK(count_lines(contents_of(log), "event=connect-failed") == 0);
    limit_files_of(daemon.pid(), RLIM_INFINITY);
    CHECK(isolate.result(isolate.connect({loopback4(), free_port()})) == TCP_ERR_CONNECT_FAILED);
    // The ten bytes that there was room for are a line of their own.
    CHECK(count_lines(contents_of(log), "^[^ ]*Z error event=log-lines-lost count=[4-9]$") == 1);
    CHECK(count_lines(contents_of(log), "^[^ ]*Z info session=[0-9]+ event=connect-failed") == 1);
}

TEST_CASE("a log that may not grow because of a limit on files is begun anew")
{
    const Place elsewhere;
    const std::string log = elsewhere.path("log");
    std::ofstream(log) << std::string(100'000, '.') << '\n';
    DaemonOptions options;
    options.arguments = {"--log-file", log};
    const Daemon daemon(options);
    limit_files_of(daemon.pid(), size_of(log));
    open_sessions(daemon.place(), 1);
    CHECK(eventually([&] { return count_lines(contents_of(log), "event=open") == 1; }));
    CHECK(size_of(log) < 100'000);
}

TEST_CASE("a daemon that may not make large files serves on the plain lane, and says why")
{
    const Daemon daemon;
    limit_files_of(daemon.pid(), 65536);
    const std::string lane = lane_under_test();
    unsetenv("OCHE_LANE");
    {
        Isolate isolate;
        isolate.start();
        CHECK(echoes(isolate, connected(isolate)));
    }
    setenv("OCHE_LANE", lane.c_str(), 1);
    CHECK(daemon.logs("event=no-memory-lane .*error=\"File too large\""));
}

TEST_CASE("a log that has its size becomes its predecessor, of which there is one, and no line is lost in between")
{
    const Place elsewhere;
    const std::string log = elsewhere.path("log");
    DaemonOptions options;
    options.arguments = {"--log-file", log, "--log-size", "16K"};
    const Daemon daemon(options);
    // Where the system has no Landlock, the daemon may not rename.
    const bool confined = eventually([&] { return count_lines(contents_of(log), "event=confined") == 1; });
    REQUIRE(confined);
    if (count_lines(contents_of(log), "landlock=no seccomp=yes") > 0) {
        SKIP("this system has no Landlock");
    }
    uint64_t largest = 0;
    while (opened_in(contents_of(log + ".1")).empty() || opened_in(contents_of(log + ".1")).front() == 1) {
        open_sessions(daemon.place(), 10);
        largest = std::max({largest, size_of(log), size_of(log + ".1")});
    }
    CHECK(largest > 15 * 1024);
    CHECK(largest <= 16 * 1024);
    CHECK_FALSE(std::filesystem::exists(log + ".1.1"));
    CHECK_FALSE(std::filesystem::exists(log + ".2"));
    const std::vector<int> numbers = opened_in(contents_of(log + ".1") + contents_of(log));
    std::vector<int> expected(numbers.size());
    for (size_t i = 0; i < expected.size(); i++) {
        expected[i] = numbers.front() + static_cast<int>(i);
    }
    CHECK(numbers == expected);
    struct stat status = {};
    REQUIRE(stat(log.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
}

TEST_CASE("a log that cannot be renamed is emptied when it has its size")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const Place place;
    const std::string closed = place.path("closed");
    std::filesystem::create_directory(closed);
    const std::string log = closed + "/log";
    REQUIRE(Descriptor(open(log.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    REQUIRE(chown(log.c_str(), nobody, nobody) == 0);
    REQUIRE(chown(place.path("").c_str(), nobody, nobody) == 0);
    REQUIRE(chmod(closed.c_str(), 0755) == 0);
    const std::string program = place.path("program");
    std::filesystem::copy_file(oched_path(), program);
    chmod(program.c_str(), 0755);
    ProcessOptions options;
    options.arguments = {
        program, "--foreground", "--socket", place.socket_path(), "--method", method_under_test(), "--log-file",
        log,     "--log-size",   "4096"};
    options.user = nobody;
    Process daemon(options);
    REQUIRE(eventually([&] { return count_lines(contents_of(log), "event=confined") == 1; }));
    const Wire refused(place.socket_path()); // it is another user's, which makes a line
    CHECK(eventually([&] { return count_lines(contents_of(log), "event=refused") == 1; }));
    uint64_t largest = 0;
    while (count_lines(contents_of(log), "event=confined") == 1) {
        daemon.kill(SIGHUP);
        largest = std::max(largest, size_of(log));
    }
    CHECK(largest <= 4096);
    CHECK_FALSE(std::filesystem::exists(log + ".1"));
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a predecessor and its successor bound one log between them")
{
    const Place elsewhere;
    const std::string log = elsewhere.path("log");
    DaemonOptions options;
    options.arguments = {"--log-file", log, "--log-size", "64K"};
    Daemon daemon(options);
    setenv("OCHE_SOCKET", daemon.place().socket_path().c_str(), 1);
    Isolate isolate;
    isolate.start();
    REQUIRE(connected(isolate).handle > 0);
    daemon.kill(SIGUSR2);
    CHECK(daemon.wait() == 0);
    CHECK(eventually([&] { return count_lines(contents_of(log), "event=left") == 1; }));
    CHECK(count_lines(contents_of(log), "event=inherited") == 1);
}

TEST_CASE("lines of each kind are limited, and what is left out is counted")
{
    constexpr int sessions = 4000;
    DaemonOptions options;
    options.arguments = {"--user-max-session-rate", "0"};
    const Daemon daemon(options);
    open_sessions(daemon.place(), sessions);
    // In a later second the next line is preceded by the count.
    CHECK(eventually([&] {
        daemon.kill(SIGHUP);
        const std::string log = daemon.log();
        size_t told = opened_in(log).size();
        for (const std::string &line : lines_with(log, " warning event=lines-not-logged of=open count=[0-9]+$")) {
            told += std::stoul(line.substr(line.rfind('=') + 1));
        }
        return told == sessions;
    }));
    CHECK(opened_in(daemon.log()).size() < sessions);
    CHECK(daemon.count_lines("event=lines-not-logged of=end count=[0-9]+$") > 0);
}

TEST_CASE("a log beside the socket is this user's own file, or the daemon says what is wrong and does not start")
{
    const Place place;
    const std::string log = place.socket_path() + ".log";
    const std::string treasure = place.path("treasure");
    std::ofstream(treasure) << "gold";
    std::string reason;
    SECTION("a symbolic link")
    {
        std::filesystem::create_symlink(treasure, log);
        reason = "it is a symbolic link";
    }
    SECTION("another name of some file")
    {
        std::filesystem::create_hard_link(treasure, log);
        reason = "it is no file of its own";
    }
    SECTION("a FIFO that nobody reads")
    {
        REQUIRE(mkfifo(log.c_str(), 0600) == 0);
        reason = "it is no regular file";
    }
    Descriptor reader;
    SECTION("a FIFO that somebody reads")
    {
        REQUIRE(mkfifo(log.c_str(), 0600) == 0);
        reader = Descriptor(open(log.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        reason = "it is no regular file";
    }
    SECTION("another user's")
    {
        if (why_no_others()) {
            return;
        }
        REQUIRE(Descriptor(open(log.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666)));
        REQUIRE(chown(log.c_str(), nobody, nobody) == 0);
        reason = "it belongs to another user";
    }
    const ProcessResult result = run_in_background(place);
    CHECK(result.status == 1);
    CHECK(contains(result.error, log));
    CHECK(contains(result.error, reason));
    CHECK(contents_of(treasure) == "gold");
    CHECK_FALSE(place.is_served());
}

TEST_CASE("a log that was named may be a link, which is followed when the daemon starts")
{
    const Place elsewhere;
    const std::string real = elsewhere.path("real");
    std::filesystem::create_symlink(real, elsewhere.path("link"));
    DaemonOptions options;
    options.arguments = {"--log-file", elsewhere.path("link")};
    const Daemon daemon(options);
    CHECK(count_lines(contents_of(real), "event=serving") == 1);
    std::filesystem::rename(real, real + ".old");
    REQUIRE(eventually([&] {
        daemon.kill(SIGHUP);
        return count_lines(contents_of(real), "event=log-reopened") > 0;
    }));
    CHECK(std::filesystem::is_symlink(elsewhere.path("link")));
}

TEST_CASE("a log that was named may be a FIFO that nobody reads yet")
{
    const Place place;
    const std::string fifo = place.path("fifo");
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    ProcessOptions options;
    options.arguments = {oched_path(), "--foreground",      "--socket",   place.socket_path(),
                         "--method",   method_under_test(), "--log-file", fifo};
    Process daemon(options);
    REQUIRE(eventually([&] { return place.is_served(); }));
    const Descriptor reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK(reads(reader.get(), "event=serving"));
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a daemon in the background may log to the standard output that it was started with")
{
    const Place place;
    const Channel channel = pipe_ends();
    ProcessOptions options;
    options.arguments = {oched_path(),        "--socket",   place.socket_path(), "--method",
                         method_under_test(), "--log-file", "/dev/stdout"};
    options.output = channel.writer.get();
    REQUIRE(Process(options).wait() == 0);
    CHECK(reads(channel.reader.get(), "event=serving"));
    const pid_t first = place.server().value();
    send_signal(first, SIGUSR2);
    CHECK(reads(channel.reader.get(), "event=inherited"));
    CHECK(eventually([&] { return place.server().has_value() && place.server() != first; }));
}
