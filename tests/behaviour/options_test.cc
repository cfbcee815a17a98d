// Keep-alive and no-delay, and what the getters know.
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
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
