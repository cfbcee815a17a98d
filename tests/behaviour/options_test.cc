// Keep-alive and no-delay, and what the getters know.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sized.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
int64_t set_keep_alive(const Isolate &isolate, int64_t handle, bool enabled)
{
    return isolate.inside([&] { return tcp_set_keep_alive(handle, enabled); });
}

int64_t set_no_delay(const Isolate &isolate, int64_t handle, bool enabled)
{
    return isolate.inside([&] { return tcp_set_no_delay(handle, enabled); });
}
} // namespace

TEST_CASE("keep-alive and no-delay are off at first")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair made = connected(isolate);
    const Pair taken = accepted(isolate, listening(isolate));
    for (const int64_t handle : {made.handle, taken.handle}) {
        CHECK(tcp_get_keep_alive(handle) == 0);
        CHECK(tcp_get_no_delay(handle) == 0);
    }
}

TEST_CASE("the setters change the option in the kernel, and the getters say so")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const uint16_t port = Isolate::local(pair.handle).port;
    try {
        daemon.socket_option(port, SOL_SOCKET, SO_KEEPALIVE);
    } catch (const std::system_error &error) {
        SKIP(std::string("this process may not look at the daemon's sockets: ") + error.what());
    }
    for (const bool enabled : {true, false, true}) {
        CAPTURE(enabled);
        CHECK(set_keep_alive(isolate, pair.handle, enabled) == 0);
        CHECK(tcp_get_keep_alive(pair.handle) == enabled);
        CHECK(daemon.socket_option(port, SOL_SOCKET, SO_KEEPALIVE) == enabled);
        CHECK(set_no_delay(isolate, pair.handle, !enabled) == 0);
        CHECK(tcp_get_no_delay(pair.handle) == !enabled);
        CHECK((daemon.socket_option(port, IPPROTO_TCP, TCP_NODELAY) != 0) == !enabled);
    }
}

TEST_CASE("options are those of one connection, not of others")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair one = connected(isolate);
    const Pair two = connected(isolate);
    CHECK(set_no_delay(isolate, one.handle, true) == 0);
    CHECK(tcp_get_no_delay(one.handle) == 1);
    CHECK(tcp_get_no_delay(two.handle) == 0);
}

TEST_CASE("a setter takes effect after the writes that were made before it, and does not wait for them")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, std::string(32 << 20, 'x'));
    CHECK(set_no_delay(isolate, pair.handle, true) == 0);
    CHECK(isolate.is_pending(write, std::chrono::milliseconds(0)));
}

TEST_CASE("the setters may be called from several threads at once")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    std::vector<std::thread> threads;
    std::vector<int> failures(4, 0);
    for (size_t i = 0; i < failures.size(); i++) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 50; round++) {
                failures[i] += tcp_set_no_delay(pair.handle, round % 2 == 0) != 0;
                failures[i] += tcp_set_keep_alive(pair.handle, round % 2 == 0) != 0;
                failures[i] += tcp_get_no_delay(pair.handle) < 0;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(failures == std::vector<int>(4, 0));
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("the getters of addresses write no more than the address")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    uint8_t address[17];
    std::fill(std::begin(address), std::end(address), 0xaa);
    CHECK(tcp_get_local_address(pair.handle, address) == 4);
    CHECK(Address(address, address + 4) == loopback4());
    CHECK(address[16] == 0xaa);
    CHECK(tcp_get_remote_address(pair.handle, nullptr) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("the options are those of connections: a listener is refused")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    CHECK(tcp_get_no_delay(listener) == TCP_ERR_INVALID_HANDLE);
    CHECK(set_no_delay(isolate, listener, true) == TCP_ERR_INVALID_HANDLE);
    CHECK(accepted(isolate, listener).handle > 0);
}

namespace
{
struct Option {
    const char *text;
    int level, name, value;
};

// What may be set, and a value for each that it does not have at first.
const Option settable[] = {
    {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
    {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
    {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 77},
    {"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 11},
    {"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 4},
    {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
    {"IP_TOS", IPPROTO_IP, IP_TOS, 16},
};

int64_t set_option(const Isolate &isolate, int64_t handle, int64_t level, int name, const void *value, int64_t size,
                   int32_t *os_error)
{
    return isolate.inside([&] {
        return oche_isolate_set_option(handle, level, name, static_cast<const uint8_t *>(value), size, os_error);
    });
}

int64_t get_option(const Isolate &isolate, int64_t handle, int level, int name, void *value, int64_t size,
                   int32_t *os_error)
{
    return isolate.inside(
        [&] { return oche_isolate_get_option(handle, level, name, static_cast<uint8_t *>(value), size, os_error); });
}
} // namespace

TEST_CASE("options of the list are set by their numbers, and read back")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    for (const Option &option : settable) {
        CAPTURE(option.text);
        int value = -1;
        int32_t os_error = -1;
        CHECK(get_option(isolate, pair.handle, option.level, option.name, &value, sizeof value, &os_error) ==
              sizeof value);
        CHECK(value != option.value);
        CHECK(set_option(isolate, pair.handle, option.level, option.name, &option.value, sizeof option.value,
                         &os_error) == 0);
        CHECK(get_option(isolate, pair.handle, option.level, option.name, &value, sizeof value, &os_error) ==
              sizeof value);
        CHECK(value == option.value);
        CHECK(os_error == 0);
    }
    // The system doubles these.
    for (const int name : {SO_RCVBUF, SO_SNDBUF}) {
        int value = 10000;
        int32_t os_error = -1;
        CHECK(set_option(isolate, pair.handle, SOL_SOCKET, name, &value, sizeof value, &os_error) == 0);
        CHECK(get_option(isolate, pair.handle, SOL_SOCKET, name, &value, sizeof value, &os_error) == sizeof value);
        CHECK(value == 20000);
    }
    CHECK(tcp_get_keep_alive(pair.handle) == 1);
    CHECK(tcp_get_no_delay(pair.handle) == 1);
    const int off = 0;
    int32_t os_error = -1;
    CHECK(set_option(isolate, pair.handle, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof off, &os_error) == 0);
    CHECK(tcp_get_keep_alive(pair.handle) == 0);
}

TEST_CASE("the traffic class of an IPv6 connection can be set")
{
    if (!has_ipv6())
        SKIP("this machine has no IPv6");
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener peers(loopback6());
    const int64_t handle = isolate.value(isolate.connect({loopback6(), peers.port()}));
    const int set = 32;
    int got = 0;
    int32_t os_error = -1;
    CHECK(set_option(isolate, handle, IPPROTO_IPV6, IPV6_TCLASS, &set, sizeof set, &os_error) == 0);
    CHECK(get_option(isolate, handle, IPPROTO_IPV6, IPV6_TCLASS, &got, sizeof got, &os_error) == sizeof got);
    CHECK(got == set);
}

TEST_CASE("options that are not on the list are neither set nor read")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const int one = 1;
    const std::pair<int, int> others[] = {
        {SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_MARK},     {SOL_SOCKET, SO_BINDTODEVICE},
        {IPPROTO_TCP, TCP_ULP},     {IPPROTO_TCP, TCP_REPAIR}, {12345, -1},
    };
    for (const auto &[level, name] : others) {
        CAPTURE(level, name);
        int32_t os_error = 0;
        int value = 0;
        CHECK(set_option(isolate, pair.handle, level, name, &one, sizeof one, &os_error) == TCP_ERR_SOCKET_OPTION);
        CHECK(os_error == ENOPROTOOPT);
        CHECK(get_option(isolate, pair.handle, level, name, &value, sizeof value, &os_error) == TCP_ERR_SOCKET_OPTION);
        CHECK(os_error == ENOPROTOOPT);
    }
    CHECK(echoes(isolate, pair));
}

TEST_CASE("whether a connection lingers can be read, and not set")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    linger value{1, 100};
    int32_t os_error = 0;
    CHECK(set_option(isolate, pair.handle, SOL_SOCKET, SO_LINGER, &value, sizeof value, &os_error) ==
          TCP_ERR_SOCKET_OPTION);
    CHECK(os_error == EOPNOTSUPP);
    CHECK(get_option(isolate, pair.handle, SOL_SOCKET, SO_LINGER, &value, sizeof value, &os_error) == sizeof value);
    CHECK(value.l_onoff == 0);
}

TEST_CASE("a value that the system does not take is refused with the system's error")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const int bad = 0;
    int32_t os_error = 0;
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, &bad, sizeof bad, &os_error) ==
          TCP_ERR_SOCKET_OPTION);
    CHECK(os_error == EINVAL);
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, &bad, 1, &os_error) == TCP_ERR_SOCKET_OPTION);
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, nullptr, 0, &os_error) == TCP_ERR_SOCKET_OPTION);
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, nullptr, 4, &os_error) ==
          TCP_ERR_INVALID_ARGUMENT);
    CHECK(set_option(isolate, pair.handle, int64_t{1} << 32, TCP_KEEPIDLE, &bad, 4, &os_error) ==
          TCP_ERR_INVALID_ARGUMENT);
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, &bad, 4, nullptr) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(set_option(isolate, pair.handle + 1, IPPROTO_TCP, TCP_KEEPIDLE, &bad, 4, &os_error) ==
          TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("no more of an option is written than there is room for")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    for (const int64_t room : {0, 1, 3, 4, 100}) {
        CAPTURE(room);
        std::vector<uint8_t> value(200, 0xaa);
        int32_t os_error = 0;
        const int64_t written =
            get_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, value.data(), room, &os_error);
        CHECK(written == std::min<int64_t>(room, 4));
        CHECK(std::count(value.begin() + written, value.end(), 0xaa) == 200 - written);
    }
    // Only the beginning of a longer value counts, as for the system.
    std::vector<uint8_t> longer(300, 0);
    longer[0] = 9;
    int32_t os_error = 0;
    CHECK(set_option(isolate, pair.handle, IPPROTO_TCP, TCP_KEEPIDLE, longer.data(), 300, &os_error) == 0);
}

TEST_CASE("a program without Dart gets the value with the completion")
{
    const Daemon daemon;
    const PeerListener peers;
    oche_session *session = nullptr;
    REQUIRE(oche_session_open(nullptr, &session) == 0);
    auto completion = sized<oche_completion>();
    const auto complete = [&](int64_t returned) {
        CHECK(returned == 0);
        return eventually([&] {
            pollfd waited{oche_session_get_fd(session), POLLIN, 0};
            poll(&waited, 1, 10);
            oche_session_dispatch(session);
            return oche_session_pop(session, &completion);
        });
    };
    const Address address = loopback4();
    auto options = sized<oche_connect_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.port = peers.port();
    CHECK(complete(oche_connect(session, 1, &options)));
    const int64_t handle = completion.result;
    int value = 88;
    CHECK(complete(oche_set_option(session, 2, handle, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value)));
    CHECK(completion.request_id == 2);
    CHECK(completion.result == 0);
    value = 0;
    CHECK(complete(oche_get_option(session, 3, handle, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value)));
    CHECK(completion.request_id == 3);
    CHECK(completion.result == sizeof value);
    CHECK(value == 88);
    CHECK(complete(oche_get_option(session, 4, handle, IPPROTO_TCP, TCP_INFO, &value, sizeof value)));
    CHECK(completion.result == TCP_ERR_SOCKET_OPTION);
    CHECK(completion.os_error == ENOPROTOOPT);
    CHECK(oche_get_option(session, 5, handle, IPPROTO_TCP, TCP_KEEPIDLE, nullptr, 4) == TCP_ERR_INVALID_ARGUMENT);
    oche_session_close(session);
}
