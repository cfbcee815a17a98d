// The socket of a daemon that a service manager starts: sd_listen_fds(3).
#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/place.h"
#include "tests/support/process.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
Descriptor manager_socket(const std::string &path)
{
    Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0 || listen(fd.get(), 16) < 0) {
        throw std::runtime_error("cannot listen at " + path);
    }
    return fd;
}

// What a service manager does: `passed` becomes descriptor 3, for the process `pid` ("$$" is itself).
ProcessOptions activated(const Place &place, const Descriptor &passed, const std::string &pid = "$$",
                         const std::string &count = "1")
{
    ProcessOptions options;
    options.arguments = {"/bin/sh",
                         "-c",
                         "LISTEN_FDS=" + count + " LISTEN_PID=" + pid + " exec \"$0\" \"$@\" 3<&0 </dev/null",
                         oched_path(),
                         "--foreground",
                         "--method",
                         method_under_test(),
                         "--socket",
                         place.path("own.sock")};
    options.input = passed.get();
    return options;
}

Descriptor log_at(const Place &place)
{
    return Descriptor(open(place.path("log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
}

// The log there says so.
bool serves(const Place &place, const std::string &socket)
{
    return count_lines(contents_of(place.path("log")), "event=serving .*" + socket) == 1;
}
} // namespace

TEST_CASE("a daemon serves the socket that its service manager passes, and leaves the file to it")
{
    const Place place;
    const Descriptor passed = manager_socket(place.socket_path());
    ProcessOptions options = activated(place, passed);
    const Descriptor log = log_at(place);
    options.error = log.get();
    Process daemon(options);
    {
        Isolate isolate; // the socket is there already: it may come as early as it likes
        isolate.start();
        CHECK(connected(isolate).handle > 0);
        CHECK(place.starts() == 0);
    }
    CHECK(serves(place, place.socket_path()));
    CHECK_FALSE(std::filesystem::exists(place.path("own.sock")));
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(std::filesystem::exists(place.socket_path()));
}

TEST_CASE("a socket at which a service manager listens is not taken away from it, whoever holds no lock")
{
    const Place place;
    const Descriptor passed = manager_socket(place.socket_path());
    struct stat before = {};
    REQUIRE(stat(place.socket_path().c_str(), &before) == 0);
    for (const std::string option : {"--foreground", "--replace"}) {
        CAPTURE(option);
        const ProcessResult result = run_daemon(place.socket_path(), {option});
        CHECK(result.status == 3);
        CHECK(count_lines(result.error, "^oched: somebody else listens at ") == 1);
        struct stat after = {};
        REQUIRE(stat(place.socket_path().c_str(), &after) == 0);
        CHECK(after.st_ino == before.st_ino);
        CHECK_FALSE(std::filesystem::exists(place.socket_path() + ".lock"));
    }
}

TEST_CASE("nor from somebody who listens there and hangs up on everybody")
{
    const Place place;
    const Descriptor passed = manager_socket(place.socket_path());
    std::atomic<bool> over{false};
    std::thread unfriendly([&] {
        while (!over) {
            pollfd guest{passed.get(), POLLIN, 0};
            if (poll(&guest, 1, 10) > 0)
                close(accept4(passed.get(), nullptr, nullptr, SOCK_CLOEXEC));
        }
    });
    const ProcessResult result = run_daemon(place.socket_path());
    over = true;
    unfriendly.join();
    CHECK(result.status == 3);
    CHECK(std::filesystem::exists(place.socket_path()));
}

TEST_CASE("the successor of such a daemon has that socket, too, whatever its own options say, and leaves the file")
{
    const Place place;
    const Descriptor passed = manager_socket(place.socket_path());
    ProcessOptions options = activated(place, passed);
    const Descriptor log = log_at(place);
    options.error = log.get();
    Process daemon(options);
    const auto logged = [&] { return contents_of(place.path("log")); };
    {
        Isolate isolate;
        isolate.start();
        const int64_t listener = listening(isolate);
        daemon.kill(SIGUSR2);
        CHECK(daemon.wait() == 0);
        CHECK(eventually([&] { return count_lines(logged(), "event=inherited listeners=1") == 1; }));
        CHECK(echoes(isolate, accepted(isolate, listener)));
        CHECK(place.starts() == 0);
    }
    CHECK_FALSE(std::filesystem::exists(place.path("own.sock")));
    const auto served = lines_with(logged(), "event=serving");
    REQUIRE(served.size() == 2);
    const pid_t successor = atoi(served.back().c_str() + served.back().find("pid=") + 4);
    REQUIRE(successor > 1);
    send_signal(successor, SIGTERM);
    CHECK(eventually([&] { return !is_alive(successor); }));
    CHECK(std::filesystem::exists(place.socket_path()));
}

TEST_CASE("a descriptor from the service manager that is no listening Unix-domain socket is refused")
{
    const Place place;
    const Descriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const ProcessResult no_socket = run(activated(place, null));
    CHECK(no_socket.status == 1);
    CHECK(count_lines(no_socket.error, "LISTEN_FDS is not a listening socket") == 1);

    const Descriptor tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(listen(tcp.get(), 1) == 0);
    const ProcessResult no_unix = run(activated(place, tcp));
    CHECK(no_unix.status == 1);
    CHECK(count_lines(no_unix.error, "LISTEN_FDS is not a Unix-domain socket") == 1);

    const Descriptor packets(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, place.socket_path().c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(packets.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
    REQUIRE(listen(packets.get(), 1) == 0);
    const ProcessResult no_stream = run(activated(place, packets));
    CHECK(no_stream.status == 1);
    CHECK(count_lines(no_stream.error, "LISTEN_FDS is not a stream socket") == 1);
}

TEST_CASE("another number of sockets than one is refused, and the number named")
{
    const Place place;
    const Descriptor passed = manager_socket(place.socket_path());
    for (const std::string count : {"2", "-1", "many"}) {
        const ProcessResult result = run(activated(place, passed, "$$", count));
        CHECK(result.status == 1);
        CHECK(count_lines(result.error, "LISTEN_FDS is " + count + ", ") == 1);
    }
}

TEST_CASE("what a service manager passed to another process is not the daemon's")
{
    const Place place;
    const Descriptor passed = manager_socket(place.path("manager.sock"));
    ProcessOptions options = activated(place, passed, "1");
    const Descriptor log = log_at(place);
    options.error = log.get();
    Process daemon(options);
    CHECK(eventually([&] { return serves(place, place.path("own.sock")); }));
    CHECK(Wire(place.path("own.sock")).hello() == 1);
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
}
