// tcp_listen and tcp_accept.
#include <catch2/catch.hpp>

#include <cerrno>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
int64_t listen_raw(Isolate &isolate, const Address &address, int64_t length, int64_t port)
{
    const int64_t id = isolate.next_id();
    return isolate.result(isolate.made(
        id, isolate.inside([&] { return tcp_listen(id, address.data(), length, port, false, 0, false); })));
}

// How many of `count` connections are made to a listener that accepts nothing.
size_t established_without_accept(const Endpoint &listener, size_t count, std::vector<Attempt> &attempts)
{
    for (size_t i = 0; i < count; i++) {
        attempts.emplace_back(listener);
    }
    size_t established = 0;
    for (const Attempt &attempt : attempts) {
        established += attempt.established(moment);
    }
    return established;
}
} // namespace

TEST_CASE("listening on port 0 lets the system choose, and the getter tells which")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    CHECK(local.address == loopback4());
    CHECK(local.port != 0);
    const Pair pair = accepted(isolate, listener);
    CHECK(pair.peer.remote().port == local.port);
}

TEST_CASE("listening on a port that is named serves that port")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const uint16_t port = free_port();
    const int64_t listener = isolate.value(isolate.listen({loopback4(), port}));
    CHECK(Isolate::local(listener).port == port);
    accepted(isolate, listener);
}

TEST_CASE("an accepted connection carries bytes both ways, and both its ends are right")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair pair = accepted(isolate, listener);
    CHECK(pair.handle != listener);
    CHECK(Isolate::local(pair.handle).port == Isolate::local(listener).port);
    CHECK(Isolate::remote(pair.handle).port == pair.peer.local().port);
    CHECK(Isolate::remote(pair.handle).address == pair.peer.local().address);
    pair.peer.send("ping");
    CHECK(isolate.read_exactly(pair.handle, 4) == "ping");
    CHECK(isolate.result(isolate.write(pair.handle, "pong")) == 4);
    CHECK(pair.peer.receive(4) == "pong");
}

TEST_CASE("a listener has no remote end")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    uint8_t address[16];
    CHECK(tcp_get_remote_port(listener) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_remote_address(listener, address) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("an IPv6 listener with v6_only takes no IPv4 connection")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = isolate.value(isolate.listen({any6(), 0}, {true}));
    const uint16_t port = Isolate::local(listener).port;
    const Attempt v4({loopback4(), port});
    CHECK_FALSE(v4.established(moment));
    const Request request = isolate.accept(listener);
    const Peer v6 = Peer::connect({loopback6(), port});
    CHECK(Isolate::remote(isolate.value(request)).address == loopback6());
}

TEST_CASE("an IPv6 listener without v6_only takes IPv4 connections too")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = isolate.value(isolate.listen({any6(), 0}, {false}));
    const Request request = isolate.accept(listener);
    const Peer v4 = Peer::connect({loopback4(), Isolate::local(listener).port});
    const Address mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    CHECK(Isolate::remote(isolate.value(request)).address == mapped);
}

TEST_CASE("an address in use gives BIND_FAILED and EADDRINUSE")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const PeerListener foreign;
    const Outcome taken = isolate.outcome(isolate.listen({loopback4(), foreign.port()}));
    CHECK(taken.result == TCP_ERR_BIND_FAILED);
    CHECK(taken.os_error == EADDRINUSE);

    const int64_t own = listening(isolate);
    const Outcome again = isolate.outcome(isolate.listen({loopback4(), Isolate::local(own).port}));
    CHECK(again.result == TCP_ERR_BIND_FAILED);
    CHECK(again.os_error == EADDRINUSE);
}

TEST_CASE("listening on an address of another machine gives BIND_FAILED and EADDRNOTAVAIL")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const Outcome outcome = isolate.outcome(isolate.listen({{203, 0, 113, 1}, 0}));
    CHECK(outcome.result == TCP_ERR_BIND_FAILED);
    CHECK(outcome.os_error == EADDRNOTAVAIL);
}

TEST_CASE("listening on a bad address or port is refused")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Address bytes(64, 0);
    for (const int64_t length : {0, 3, 5, 15, 17, -1}) {
        CAPTURE(length);
        CHECK(listen_raw(isolate, bytes, length, 0) == TCP_ERR_INVALID_ADDRESS);
    }
    for (const int64_t port : {int64_t{-1}, int64_t{65536}, int64_t{1} << 40}) {
        CAPTURE(port);
        CHECK(listen_raw(isolate, loopback4(), 4, port) == TCP_ERR_INVALID_ARGUMENT);
    }
}

TEST_CASE("the backlog bounds how many connections wait for an accept, and those that wait are accepted later")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = isolate.value(isolate.listen({loopback4(), 0}, {false, 2}));
    std::vector<Attempt> attempts;
    // The kernel takes one more than the backlog says.
    CHECK(established_without_accept(Isolate::local(listener), 8, attempts) == 3);
    for (int i = 0; i < 3; i++) {
        CHECK(isolate.value(isolate.accept(listener)) > 0);
    }
}

TEST_CASE("a backlog of 0 or less is as large as the system allows")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    for (const int64_t backlog : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
        CAPTURE(backlog);
        const int64_t listener = isolate.value(isolate.listen({loopback4(), 0}, {false, backlog}));
        std::vector<Attempt> attempts;
        CHECK(established_without_accept(Isolate::local(listener), 100, attempts) == 100);
    }
}

TEST_CASE("a backlog larger than any system's is taken as the largest")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    for (const int64_t backlog : {int64_t{1} << 31, (int64_t{1} << 32) + 1, INT64_MAX}) {
        CAPTURE(backlog);
        const int64_t listener = isolate.value(isolate.listen({loopback4(), 0}, {false, backlog}));
        std::vector<Attempt> attempts;
        CHECK(established_without_accept(Isolate::local(listener), 20, attempts) == 20);
    }
}

TEST_CASE("the backlog of shared listeners is the largest that any of them has asked for")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = isolate.value(isolate.listen({loopback4(), 0}, {false, 4, true}));
    const Endpoint at = Isolate::local(listener);
    for (const int64_t backlog : {2, 6, 3}) {
        CHECK(isolate.result(isolate.listen(at, {false, backlog, true})) > 0);
    }
    std::vector<Attempt> attempts;
    CHECK(established_without_accept(at, 12, attempts) == 7);
}

TEST_CASE("two shared listeners on one port both get connections")
{
    const Daemon daemon;
    Isolate first;
    Isolate second;
    first.start();
    second.start();
    const int64_t one = first.value(first.listen({loopback4(), 0}, {false, 0, true}));
    const Endpoint local = Isolate::local(one);
    const int64_t two = second.value(second.listen(local, {false, 0, true}));

    std::vector<Request> at_one;
    std::vector<Request> at_two;
    std::vector<Peer> peers;
    constexpr size_t count = 64;
    for (size_t i = 0; i < count; i++) {
        at_one.push_back(first.accept(one));
        at_two.push_back(second.accept(two));
    }
    for (size_t i = 0; i < count; i++) {
        peers.push_back(Peer::connect(local));
    }
    CHECK(eventually([&] { return first.untaken() + second.untaken() == count; }));
    CHECK(first.untaken() > 0);
    CHECK(second.untaken() > 0);
}

TEST_CASE("a listener that is not shared keeps shared ones away, and the other way round")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t alone = listening(isolate);
    CHECK(isolate.result(isolate.listen(Isolate::local(alone), {false, 0, true})) == TCP_ERR_BIND_FAILED);
    const int64_t shared = isolate.value(isolate.listen({loopback4(), 0}, {false, 0, true}));
    CHECK(isolate.result(isolate.listen(Isolate::local(shared))) == TCP_ERR_BIND_FAILED);
}

TEST_CASE("several accepts outstanding are served in the order in which they were made")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<Request> requests;
    for (int i = 0; i < 10; i++) {
        requests.push_back(isolate.accept(listener));
    }
    std::vector<Peer> peers;
    for (const Request &request : requests) {
        peers.push_back(Peer::connect(Isolate::local(listener)));
        CHECK(Isolate::remote(isolate.value(request)).port == peers.back().local().port);
    }
}

TEST_CASE("an accept waits until somebody connects")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request request = isolate.accept(listener);
    CHECK(isolate.is_pending(request));
    const Peer peer = Peer::connect(Isolate::local(listener));
    CHECK(isolate.value(request) > 0);
}

TEST_CASE("accept on something else than a listener is refused with INVALID_HANDLE")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.accept(pair.handle)) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("a port can be listened on again at once, although its last connections still linger in the kernel")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    Pair pair = accepted(isolate, listener);
    // Who closes first keeps the port in TIME_WAIT.
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    CHECK(pair.peer.end() == End::fin);
    pair.peer.close();
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(isolate.result(isolate.listen(local)) > 0);
}
