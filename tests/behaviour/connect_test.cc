// tcp_connect: where it leads, what it says when it leads nowhere, and that nothing waits for anything else.
#include <catch2/catch.hpp>

#include <cerrno>
#include <climits>
#include <map>
#include <set>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
// The call with arguments that Isolate::connect() cannot express.
int64_t connect_raw(Isolate &isolate, const Address &address, int64_t length, int64_t port, const Address &source = {},
                    int64_t source_length = 0, int64_t source_port = 0)
{
    const int64_t id = isolate.next_id();
    return isolate.result(isolate.made(id, isolate.inside([&] {
        return tcp_connect(id, address.data(), length, port, source.empty() ? nullptr : source.data(), source_length,
                           source_port);
    })));
}
} // namespace

TEST_CASE("connect reaches an IPv4 peer, and bytes go both ways")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(pair.handle > 0);

    CHECK(isolate.result(isolate.write(pair.handle, "out")) == 3);
    CHECK(pair.peer.receive(3) == "out");
    pair.peer.send("back");
    CHECK(isolate.read_exactly(pair.handle, 4) == "back");
}

TEST_CASE("connect reaches an IPv6 peer, and bytes go both ways")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener(loopback6());
    const int64_t handle = isolate.value(isolate.connect({loopback6(), listener.port()}));
    const Peer peer = listener.accept();

    CHECK(isolate.result(isolate.write(handle, "out")) == 3);
    CHECK(peer.receive(3) == "out");
    peer.send("back");
    CHECK(isolate.read_exactly(handle, 4) == "back");
    CHECK(Isolate::remote(handle).address == loopback6());
    CHECK(Isolate::local(handle).address == loopback6());
}

TEST_CASE("both ends of a connection are what the peer sees from its side")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(Isolate::local(pair.handle).address == pair.peer.remote().address);
    CHECK(Isolate::local(pair.handle).port == pair.peer.remote().port);
    CHECK(Isolate::remote(pair.handle).address == pair.peer.local().address);
    CHECK(Isolate::remote(pair.handle).port == pair.peer.local().port);
}

TEST_CASE("connect comes from the source address it is given")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener;
    isolate.value(isolate.connect({loopback4(), listener.port()}, {loopback4(77), 0}));
    CHECK(listener.accept().remote().address == loopback4(77));
}

TEST_CASE("connect comes from the source port it is given")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener;
    const uint16_t port = free_port(loopback4(78));
    const int64_t handle = isolate.value(isolate.connect({loopback4(), listener.port()}, {loopback4(78), port}));
    const Endpoint seen = listener.accept().remote();
    CHECK(seen.address == loopback4(78));
    CHECK(seen.port == port);
    CHECK(Isolate::local(handle).port == port);
}

TEST_CASE("connect comes from the IPv6 source address and port it is given")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener(loopback6());
    const uint16_t port = free_port(loopback6());
    isolate.value(isolate.connect({loopback6(), listener.port()}, {loopback6(), port}));
    CHECK(listener.accept().remote().port == port);
}

TEST_CASE("a refused connection gives CONNECT_FAILED, and ECONNREFUSED to those who ask for error detail")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const Outcome outcome = isolate.outcome(isolate.connect({loopback4(), free_port()}));
    CHECK(outcome.result == TCP_ERR_CONNECT_FAILED);
    CHECK(outcome.os_error == ECONNREFUSED);
}

TEST_CASE("without error detail a failure is posted as the contract says, with null")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const uint16_t port = free_port();
    const Outcome plain = isolate.outcome(isolate.connect({loopback4(), port}));
    CHECK(plain.result == TCP_ERR_CONNECT_FAILED);
    CHECK_FALSE(plain.os_error.has_value());

    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    CHECK(isolate.outcome(isolate.connect({loopback4(), port})).os_error.has_value());
    REQUIRE(isolate.enable(0) == 0);
    CHECK_FALSE(isolate.outcome(isolate.connect({loopback4(), port})).os_error.has_value());
}

TEST_CASE("a feature that this version does not have is refused, and changes nothing")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    CHECK(isolate.inside([] { return oche_isolate_enable(int64_t{1} << 40); }) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(isolate.outcome(isolate.connect({loopback4(), free_port()})).os_error == ECONNREFUSED);
}

TEST_CASE("an unreachable address gives CONNECT_FAILED and ENETUNREACH")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    // TCP cannot reach a multicast group, on no machine.
    const Outcome outcome = isolate.outcome(isolate.connect({{224, 0, 0, 1}, 9}));
    CHECK(outcome.result == TCP_ERR_CONNECT_FAILED);
    CHECK(outcome.os_error == ENETUNREACH);
}

TEST_CASE("an address that is neither 4 nor 16 bytes long is refused with INVALID_ADDRESS")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Address bytes(64, 1);
    for (const int64_t length : {0, 1, 3, 5, 15, 17, 64, -1, -4}) {
        CAPTURE(length);
        CHECK(connect_raw(isolate, bytes, length, 80) == TCP_ERR_INVALID_ADDRESS);
    }
    CHECK(connect_raw(isolate, bytes, INT64_MAX, 80) == TCP_ERR_INVALID_ADDRESS);
    CHECK(connect_raw(isolate, bytes, (int64_t{1} << 32) + 4, 80) == TCP_ERR_INVALID_ADDRESS);
}

TEST_CASE("a source address of another length or family than the destination is refused with INVALID_ADDRESS")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    CHECK(connect_raw(isolate, loopback4(), 4, 80, loopback6(), 16) == TCP_ERR_INVALID_ADDRESS);
    CHECK(connect_raw(isolate, loopback6(), 16, 80, loopback4(), 4) == TCP_ERR_INVALID_ADDRESS);
    CHECK(connect_raw(isolate, loopback4(), 4, 80, loopback4(), 3) == TCP_ERR_INVALID_ADDRESS);
}

TEST_CASE("a missing address is refused")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t id = isolate.next_id();
    const int64_t result = isolate.result(
        isolate.made(id, isolate.inside([&] { return tcp_connect(id, nullptr, 4, 80, nullptr, 0, 0); })));
    CHECK((result == TCP_ERR_INVALID_ARGUMENT || result == TCP_ERR_INVALID_ADDRESS));
}

TEST_CASE("a port outside of 1 to 65535 is refused with INVALID_ARGUMENT")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    for (const int64_t port : {int64_t{0}, int64_t{-1}, int64_t{65536}, int64_t{65536 + 80}, int64_t{1} << 40}) {
        CAPTURE(port);
        CHECK(connect_raw(isolate, loopback4(), 4, port) == TCP_ERR_INVALID_ARGUMENT);
    }
    for (const int64_t port : {int64_t{-1}, int64_t{65536}, int64_t{1} << 40}) {
        CAPTURE(port);
        CHECK(connect_raw(isolate, loopback4(), 4, 80, loopback4(), 4, port) == TCP_ERR_INVALID_ARGUMENT);
    }
}

TEST_CASE("a source that another socket uses gives BIND_FAILED and EADDRINUSE")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const PeerListener listener;
    const PeerListener other(loopback4(79));
    const Outcome outcome =
        isolate.outcome(isolate.connect({loopback4(), listener.port()}, {loopback4(79), other.port()}));
    CHECK(outcome.result == TCP_ERR_BIND_FAILED);
    CHECK(outcome.os_error == EADDRINUSE);
}

TEST_CASE("a source address that is not of this machine gives BIND_FAILED and EADDRNOTAVAIL")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const PeerListener listener;
    const Outcome outcome = isolate.outcome(isolate.connect({loopback4(), listener.port()}, {{203, 0, 113, 1}, 0}));
    CHECK(outcome.result == TCP_ERR_BIND_FAILED);
    CHECK(outcome.os_error == EADDRNOTAVAIL);
}

TEST_CASE("a hundred connects outstanding at once each get a handle of their own")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener(loopback4(), 200);
    std::vector<Request> requests;
    for (int i = 0; i < 100; i++) {
        requests.push_back(isolate.connect({loopback4(), listener.port()}));
    }
    std::map<uint16_t, Peer> peers; // by the port at the other end
    for (int i = 0; i < 100; i++) {
        Peer peer = listener.accept();
        const uint16_t port = peer.remote().port;
        peers.emplace(port, std::move(peer));
    }
    std::set<int64_t> handles;
    for (const Request &request : requests) {
        const int64_t handle = isolate.value(request);
        handles.insert(handle);
        const std::string name = std::to_string(handle);
        CHECK(isolate.result(isolate.write(handle, name)) == static_cast<int64_t>(name.size()));
        const auto peer = peers.find(Isolate::local(handle).port);
        REQUIRE(peer != peers.end());
        CHECK(peer->second.receive(name.size()) == name);
    }
    CHECK(handles.size() == 100);
}

TEST_CASE("a connect that waits for its peer holds up no other")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    FullListener full;
    const Request waiting = isolate.connect({full.address(), full.port()});
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
    CHECK(isolate.is_pending(waiting));
    // The kernel sends the SYN again after a second.
    full.drain();
    CHECK(isolate.value(waiting) > 0);
}

TEST_CASE("request ids come back as they were, whatever they are")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener;
    for (const int64_t id : {int64_t{-1}, INT64_MIN, INT64_MAX, int64_t{1}, int64_t{0xffffffff} + 1}) {
        CAPTURE(id);
        const int64_t returned =
            isolate.inside([&] { return tcp_connect(id, loopback4().data(), 4, listener.port(), nullptr, 0, 0); });
        CHECK(isolate.value(isolate.made(id, returned)) > 0);
    }
}
