// tcp_close, tcp_close_write, tcp_listener_close, and handles that are no good.
#include <catch2/catch.hpp>

#include <set>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
// Everything that can be asked of a handle answers that there is no such handle.
void check_refused(Isolate &isolate, int64_t handle)
{
    CAPTURE(handle);
    uint8_t address[16];
    CHECK(isolate.result(isolate.read(handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.write(handle, "x")) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.write(handle, "")) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.accept(handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.close_write(handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.close(handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.listener_close(handle, true)) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_local_address(handle, address) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_remote_address(handle, address) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_local_port(handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_remote_port(handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_keep_alive(handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_no_delay(handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.inside([&] { return tcp_set_keep_alive(handle, true); }) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.inside([&] { return tcp_set_no_delay(handle, true); }) == TCP_ERR_INVALID_HANDLE);
}

void check_alive(Isolate &isolate, const Pair &pair)
{
    CHECK(isolate.result(isolate.write(pair.handle, "ping")) == 4);
    CHECK(pair.peer.receive(4) == "ping");
    pair.peer.send("pong");
    CHECK(isolate.read_exactly(pair.handle, 4) == "pong");
}
} // namespace

TEST_CASE("close sends the FIN at once and completes a pending read with CLOSED")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    CHECK(isolate.is_pending(read));
    const Request close = isolate.close(pair.handle);
    CHECK(pair.peer.end() == End::fin);
    CHECK(isolate.result(read) == TCP_ERR_CLOSED);
    CHECK(isolate.result(close) == 0);
}

TEST_CASE("close completes writes that are not finished with CLOSED, and they are sent all the same")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    std::vector<Request> writes;
    for (int i = 0; i < 4; i++) {
        writes.push_back(isolate.write(pair.handle, std::string(6 << 20, 'x')));
    }
    CHECK(isolate.is_pending(writes.back()));
    const Request close = isolate.close(pair.handle);
    CHECK(isolate.result(close) == 0);
    CHECK(isolate.result(writes[2]) == TCP_ERR_CLOSED);
    CHECK(isolate.result(writes[3]) == TCP_ERR_CLOSED);
    const Rest rest = pair.peer.rest();
    CHECK((rest.bytes == std::string(24 << 20, 'x')));
    CHECK((rest.end == End::fin));
}

TEST_CASE("a handle is invalid from the moment tcp_close returns")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request close = isolate.close(pair.handle);
    check_refused(isolate, pair.handle);
    CHECK(isolate.result(close) == 0);
    check_refused(isolate, pair.handle);
}

TEST_CASE("a stale handle never names a later connection")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    std::set<int64_t> stale;
    for (int i = 0; i < 100; i++) {
        const Pair pair = connected(isolate);
        CHECK(stale.insert(pair.handle).second);
        CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    }
    const Pair live = connected(isolate);
    CHECK_FALSE(stale.count(live.handle));
    for (const int64_t handle : stale) {
        REQUIRE(isolate.result(isolate.close(handle)) == TCP_ERR_INVALID_HANDLE);
        REQUIRE(isolate.result(isolate.write(handle, "stray")) == TCP_ERR_INVALID_HANDLE);
    }
    check_alive(isolate, live);
}

TEST_CASE("bytes of a write that was closed over never reach a later connection")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    for (int i = 0; i < 10; i++) {
        const Pair old = connected(isolate);
        const Request write = isolate.write(old.handle, std::string(12 << 20, '!'));
        const Request close = isolate.close(old.handle);
        const Pair young = connected(isolate);
        CHECK(isolate.result(isolate.write(young.handle, "mine")) == 4);
        CHECK(isolate.result(isolate.close_write(young.handle)) == 0);
        CHECK(young.peer.receive_all() == "mine");
        CHECK(isolate.result(write) == TCP_ERR_CLOSED);
        CHECK(isolate.result(close) == 0);
    }
}

TEST_CASE("made-up handles are refused, however much they resemble a real one")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    for (const int64_t handle : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{3}, INT64_MAX, INT64_MIN}) {
        check_refused(isolate, handle);
    }
    for (int bit = 0; bit < 64; bit++) {
        const auto resembling = static_cast<int64_t>(static_cast<uint64_t>(pair.handle) ^ uint64_t{1} << bit);
        CAPTURE(bit);
        REQUIRE(isolate.result(isolate.write(resembling, "x")) == TCP_ERR_INVALID_HANDLE);
        REQUIRE(isolate.result(isolate.close(resembling)) == TCP_ERR_INVALID_HANDLE);
        REQUIRE(isolate.result(isolate.read(-pair.handle)) == TCP_ERR_INVALID_HANDLE);
    }
    check_refused(isolate, pair.handle + 1);
    check_refused(isolate, pair.handle - 1);
    check_alive(isolate, pair);
}

TEST_CASE("handles from before tcp_destroy are refused in the next session")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair before = connected(isolate);
    const int64_t listener = listening(isolate);
    REQUIRE(isolate.destroy() == 0);
    isolate.start();
    check_refused(isolate, before.handle);
    check_refused(isolate, listener);
    const Pair after = connected(isolate);
    check_refused(isolate, before.handle);
    check_alive(isolate, after);
}

TEST_CASE("close_write sends everything written before it, then the end of the stream; reading goes on")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(12 << 20);
    const Request write = isolate.write(pair.handle, sent);
    const Request close_write = isolate.close_write(pair.handle);
    CHECK(isolate.is_pending(close_write));
    const std::string received = pair.peer.receive_all();
    CHECK((received == sent));
    CHECK(isolate.result(write) == static_cast<int64_t>(sent.size()));
    CHECK(isolate.result(close_write) == 0);
    pair.peer.send("thanks");
    CHECK(isolate.read_exactly(pair.handle, 6) == "thanks");
}

TEST_CASE("close_write does not disturb a pending read")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    CHECK(pair.peer.end() == End::fin);
    CHECK(isolate.is_pending(read));
    pair.peer.send("late");
    CHECK(isolate.outcome(read).text() == "late");
}

TEST_CASE("close while close_write waits completes both")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, std::string(32 << 20, 'x'));
    const Request close_write = isolate.close_write(pair.handle);
    CHECK(isolate.is_pending(close_write));
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    CHECK(isolate.result(write) == TCP_ERR_CLOSED);
    CHECK(isolate.result(close_write) == TCP_ERR_CLOSED);
}

TEST_CASE("closing a listener completes pending accepts with CLOSED and refuses who connects later")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    const Request one = isolate.accept(listener);
    const Request two = isolate.accept(listener);
    CHECK(isolate.is_pending(two));
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(isolate.result(one) == TCP_ERR_CLOSED);
    CHECK(isolate.result(two) == TCP_ERR_CLOSED);
    check_refused(isolate, listener);
    const Attempt late(local);
    CHECK_FALSE(late.established());
}

TEST_CASE("closing a listener without force leaves its connections alone")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair pair = accepted(isolate, listener);
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    check_alive(isolate, pair);
}

TEST_CASE("closing a listener with force closes the connections that it accepted, and no others")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const int64_t other_listener = listening(isolate);
    const Pair one = accepted(isolate, listener);
    const Pair two = accepted(isolate, listener);
    const Pair other = accepted(isolate, other_listener);
    const Pair made = connected(isolate);
    const Request read = isolate.read(one.handle);
    const Request write = isolate.write(two.handle, std::string(12 << 20, 'x'));
    CHECK(isolate.is_pending(read));

    CHECK(isolate.result(isolate.listener_close(listener, true)) == 0);
    CHECK(isolate.result(read) == TCP_ERR_CLOSED);
    CHECK(isolate.result(write) == TCP_ERR_CLOSED);
    CHECK(one.peer.end() == End::fin);
    const Rest rest = two.peer.rest();
    CHECK((rest.bytes == std::string(12 << 20, 'x')));
    CHECK((rest.end == End::fin));
    check_refused(isolate, one.handle);
    check_refused(isolate, two.handle);
    check_alive(isolate, other);
    check_alive(isolate, made);
    check_alive(isolate, accepted(isolate, other_listener));
}

TEST_CASE("a listener is closed with tcp_listener_close and a connection with tcp_close, not the other way round")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair pair = accepted(isolate, listener);
    CHECK(isolate.result(isolate.listener_close(pair.handle, true)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.close(listener)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.close_write(listener)) == TCP_ERR_INVALID_HANDLE);
    check_alive(isolate, pair);
    check_alive(isolate, accepted(isolate, listener));
}

TEST_CASE("closing thousands of connections one after the other leaves no descriptor behind")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    for (int i = 0; i < 2000; i++) {
        Pair pair = accepted(isolate, listener);
        REQUIRE(isolate.result(isolate.close(pair.handle)) == 0);
        pair.peer.reset();
    }
}
