// What the library does when it cannot trust, or cannot use, what it finds at the socket's path.
#include <catch2/catch.hpp>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/place.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
constexpr uid_t stranger = 12345;

bool last_error_says(const std::string &text)
{
    const std::string error = oche_last_error();
    INFO(error);
    CHECK(error.find(text) != std::string::npos);
    return error.find(text) != std::string::npos;
}
} // namespace

TEST_CASE("a socket that belongs to another user is not used, and the error names the user")
{
    if (geteuid() != 0) {
        SKIP("only root can give a socket to another user");
    }
    const Daemon daemon;
    REQUIRE(chown(daemon.place().socket_path().c_str(), stranger, stranger) == 0);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(last_error_says("belongs to user 12345"));
    CHECK(daemon.count_lines("event=open") == 0);
    REQUIRE(chown(daemon.place().socket_path().c_str(), 0, 0) == 0);
    CHECK(isolate.init() == 0);
}

TEST_CASE("a socket whose server is another user is not used, and the error names the user")
{
    if (geteuid() != 0) {
        SKIP("only root can become another user");
    }
    const Place place;
    Descriptor listening_socket(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, place.socket_path().c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(listening_socket.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
    // unix(7): who serves is who called listen(2).
    REQUIRE(seteuid(stranger) == 0);
    const int listens = listen(listening_socket.get(), 1);
    REQUIRE(seteuid(0) == 0);
    REQUIRE(listens == 0);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(last_error_says("belongs to user 12345"));
    listening_socket = Descriptor();
    std::filesystem::remove(place.socket_path());
}

TEST_CASE("a socket of another kind is not used, and the error names it")
{
    const Place place;
    const Descriptor datagrams(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, place.socket_path().c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(datagrams.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
    Isolate isolate;
    CHECK(isolate.init() == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(last_error_says("cannot connect to the daemon at " + place.socket_path()));
    CHECK(place.starts() == 0);
}

TEST_CASE("a relative OCHE_SOCKET counts from where the program is, and from there also when it has gone elsewhere")
{
    const Place place;
    const std::filesystem::path before = std::filesystem::current_path();
    setenv("OCHE_SOCKET", "oched.sock", 1);
    std::filesystem::current_path(place.path(""));
    Isolate isolate;
    const int64_t result = isolate.init();
    std::filesystem::current_path(before);
    REQUIRE(result == 0);
    const auto first = place.server();
    REQUIRE(first);
    const Request pending = isolate.accept(listening(isolate));
    kill(*first, SIGKILL);
    REQUIRE(eventually([&] { return !is_alive(*first); }));
    CHECK(isolate.result(pending) == TCP_ERR_DAEMON_LOST);
    CHECK(listening(isolate) > 0);
    CHECK(place.is_served());
}

TEST_CASE("with no daemon to find anywhere, the error says how to name one")
{
    const Place place;
    Companion companion({"OCHE_DAEMON", "PATH=/nonexistent::relative:" + place.path("none")});
    CHECK(companion.number("init") == TCP_ERR_DAEMON_UNAVAILABLE);
    const std::string error = companion.ask("error");
    CHECK(error.find("nobody serves " + place.socket_path()) != std::string::npos);
    CHECK(error.find("set OCHE_DAEMON") != std::string::npos);
}
