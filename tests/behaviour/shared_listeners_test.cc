// Shared listeners at one address: they have one queue, whoever comes and goes.
#include <catch2/catch.hpp>

#include <csignal>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>
#include <vector>

#include "tests/support/descriptor.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/successor.h"

extern "C" {
#include "proto/handover.h"
#include "proto/oche.pb-c.h"
}

using namespace test_support;

namespace
{
const ListenOptions shared_options{false, 0, true};

// A shared listener at 127.0.0.1; port 0: a port that the system chooses.
int64_t shared_listener(Isolate &isolate, uint16_t port = 0)
{
    return isolate.value(isolate.listen({loopback4(), port}, shared_options));
}

std::vector<Peer> connect_many(const Endpoint &at, int count)
{
    std::vector<Peer> peers;
    for (int i = 0; i < count; i++)
        peers.push_back(Peer::connect(at));
    return peers;
}

// Accepts as many as there are peers; true: they were all of these, and each of them is answered.
bool answers_all(Isolate &isolate, int64_t listener, std::vector<Peer> &peers)
{
    for (size_t i = 0; i < peers.size(); i++) {
        const int64_t handle = isolate.value(isolate.accept(listener));
        if (isolate.result(isolate.write(handle, "hi")) != 2 || isolate.result(isolate.close(handle)) != 0)
            return false;
    }
    for (const Peer &peer : peers) {
        if (peer.receive_all() != "hi")
            return false;
    }
    return true;
}

WireFrame shared_listen_frame(uint16_t port)
{
    Oche__Listen listen = OCHE__LISTEN__INIT;
    Address address = loopback4();
    listen.address = {address.size(), address.data()};
    listen.port = port;
    listen.shared = 1;
    WireFrame frame = plain_frame(FRAME_LISTEN, 1);
    frame.body.resize(protobuf_c_message_get_packed_size(&listen.base));
    protobuf_c_message_pack(&listen.base, reinterpret_cast<uint8_t *>(frame.body.data()));
    return frame;
}

// A client that speaks frames, follows to a successor, and has a shared listener.
struct Follower {
    Wire wire;
    int64_t listener;
    uint16_t port;

    Follower(const Daemon &daemon, uint16_t at) : wire(daemon.place().socket_path())
    {
        greet(wire, "", 0);
        const auto reply = wire.ask(shared_listen_frame(at));
        REQUIRE(reply);
        REQUIRE(reply->header.value > 0);
        listener = reply->header.value;
        endpoints decoded{};
        REQUIRE(endpoints_decode(&decoded, reinterpret_cast<const uint8_t *>(reply->payload.data()),
                                 reply->payload.size()));
        port = decoded.local.port;
    }
};
} // namespace

TEST_CASE(
    "a shared listener that accepts nothing keeps no connection from the others, and resets none when it is closed")
{
    const Daemon daemon({{"--workers", GENERATE("1", "2")}});
    Isolate first;
    Isolate second;
    first.start();
    second.start();
    const int64_t one = shared_listener(first);
    const Endpoint at = Isolate::local(one);
    const int64_t two = shared_listener(second, at.port);
    std::vector<Peer> early = connect_many(at, 40);
    SECTION("while both are open")
    {
        CHECK(answers_all(first, one, early));
        CHECK(second.result(second.listener_close(two, false)) == 0);
    }
    SECTION("when the one is closed")
    {
        CHECK(second.result(second.listener_close(two, false)) == 0);
        CHECK(answers_all(first, one, early));
    }
    SECTION("when the other is closed, the one accepts them")
    {
        CHECK(first.result(first.listener_close(one, false)) == 0);
        CHECK(answers_all(second, two, early));
    }
    SECTION("when the session of the one ends")
    {
        CHECK(second.destroy() == 0);
        CHECK(answers_all(first, one, early));
    }
}

TEST_CASE("a shared port is free when the last listener at it is closed, and not before")
{
    const Daemon daemon({{"--workers", "2"}});
    Isolate first;
    Isolate second;
    first.start();
    second.start();
    const int64_t one = shared_listener(first);
    const Endpoint at = Isolate::local(one);
    const int64_t two = shared_listener(second, at.port);
    CHECK(first.result(first.listener_close(one, false)) == 0);
    CHECK(first.result(first.listen(at)) == TCP_ERR_BIND_FAILED);
    Peer waiting = Peer::connect(at);
    CHECK(second.result(second.listener_close(two, false)) == 0);
    CHECK(waiting.end() == End::reset);
    CHECK(is_refused(at));
    CHECK(first.result(first.listen(at)) > 0);
}

TEST_CASE("of shared listeners that wait for connections none gets them all")
{
    const Daemon daemon({{"--workers", GENERATE("1", "2", "3")}});
    constexpr int count = 3, rounds = 8;
    std::vector<std::unique_ptr<Isolate>> isolates;
    std::vector<int64_t> listeners;
    Endpoint at{loopback4(), 0};
    for (int i = 0; i < count; i++) {
        isolates.push_back(std::make_unique<Isolate>());
        isolates.back()->start();
        listeners.push_back(shared_listener(*isolates.back(), at.port));
        at = Isolate::local(listeners.back());
        for (int j = 0; j < count * rounds; j++)
            isolates.back()->accept(listeners.back());
    }
    std::vector<Peer> peers;
    for (size_t i = 0; i < count * rounds; i++) {
        peers.push_back(Peer::connect(at));
        // One at a time: what comes at once could be spread by chance.
        REQUIRE(eventually([&] {
            size_t accepted = 0;
            for (const auto &isolate : isolates)
                accepted += isolate->untaken();
            return accepted == i + 1;
        }));
    }
    for (const auto &isolate : isolates)
        CHECK(isolate->untaken() > 0);
}

TEST_CASE("shared listeners at one address agree on v6_only")
{
    if (!has_ipv6())
        SKIP("this machine has no IPv6");
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    isolate.enable(OCHE_FEATURE_ERROR_DETAIL);
    for (const bool v6_only : {false, true}) {
        const int64_t listener = isolate.value(isolate.listen({any6(), 0}, {v6_only, 0, true}));
        const Endpoint at = Isolate::local(listener);
        const Outcome other = isolate.outcome(isolate.listen(at, {!v6_only, 0, true}));
        CHECK(other.result == TCP_ERR_BIND_FAILED);
        CHECK(other.os_error == EADDRINUSE);
        CHECK(isolate.result(isolate.listen(at, {v6_only, 0, true})) > 0);
    }
}

TEST_CASE("another program of the user can share the port of a shared listener")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Endpoint at = Isolate::local(shared_listener(isolate));
    const Descriptor other(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(at.port);
    const auto *name = reinterpret_cast<const sockaddr *>(&address);
    CHECK(bind(other.get(), name, sizeof address) < 0);
    REQUIRE(setsockopt(other.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    CHECK(bind(other.get(), name, sizeof address) == 0);
    CHECK(listen(other.get(), 1) == 0);
}

TEST_CASE("every shared listener counts as a socket and as a descriptor of its own")
{
    const Daemon daemon({{"--max-handles", "3"}});
    Isolate isolate;
    isolate.start();
    const int64_t one = shared_listener(isolate);
    const Endpoint at = Isolate::local(one);
    const size_t before = daemon.descriptor_count() - 1; // what the greeting took is given back by now
    const int64_t two = shared_listener(isolate, at.port);
    const int64_t three = shared_listener(isolate, at.port);
    CHECK(daemon.descriptor_count() == before + 3);
    CHECK(isolate.result(isolate.listen(at, shared_options)) == TCP_ERR_QUOTA);
    for (const int64_t listener : {one, two, three})
        CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(daemon.descriptor_count() == before);
}

TEST_CASE("shared listeners have one queue after a handover as well")
{
    Daemon daemon({{"--workers", "2"}});
    Isolate first;
    Isolate second;
    first.start();
    second.start();
    const int64_t one = shared_listener(first);
    const Endpoint at = Isolate::local(one);
    const int64_t two = shared_listener(second, at.port);
    std::vector<Peer> peers = connect_many(at, 4);
    const Successor successor(daemon.place(), {"--workers", "2"});
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    SECTION("of which both take")
    {
        CHECK(second.result(second.listener_close(two, false)) == 0);
        CHECK(answers_all(first, one, peers));
    }
    SECTION("which others can join")
    {
        REQUIRE(eventually([&] { return first.result(first.listen({loopback4(), 0})) > 0; }));
        const int64_t three = shared_listener(first, at.port);
        CHECK(first.result(first.listener_close(one, false)) == 0);
        CHECK(second.result(second.listener_close(two, false)) == 0);
        CHECK(answers_all(first, three, peers));
        CHECK(first.result(first.listener_close(three, false)) == 0);
        CHECK(is_refused(at));
    }
}

TEST_CASE("a shared listener that is closed while the daemon hands over leaves the queue to the others")
{
    Daemon daemon({{"--workers", "2"}});
    Isolate first;
    Isolate second;
    first.start();
    second.start();
    const int64_t one = shared_listener(first);
    const Endpoint at = Isolate::local(one);
    const int64_t two = shared_listener(second, at.port);
    auto wire = offered(daemon, 2);
    std::vector<Peer> peers = connect_many(at, 2);
    SECTION("by a request, which is answered when it is clear who has it")
    {
        const Request accept = second.accept(two);
        CHECK(Isolate::local(two).port == at.port);
        CHECK(second.value(accept) > 0);
        peers.erase(peers.begin());
        const Request close = second.listener_close(two, false);
        CHECK(second.is_pending(close));
        wire.reset();
        CHECK(daemon.logs("event=kept"));
        CHECK(second.result(close) == 0);
    }
    SECTION("by the end of its session")
    {
        CHECK(second.destroy() == 0);
        CHECK(daemon.logs("event=end"));
        wire.reset();
        CHECK(daemon.logs("event=kept"));
    }
    CHECK(answers_all(first, one, peers));
}

TEST_CASE("the close of a shared listener that the daemon has handed over is the successor's to do")
{
    Daemon daemon;
    const Follower first(daemon, 0);
    const Follower second(daemon, first.port);
    const auto successor = offered(daemon, 2);
    WireFrame close = plain_frame(FRAME_LISTENER_CLOSE, 7, second.listener);
    second.wire.send(close);
    const auto statistics = second.wire.ask(plain_frame(FRAME_STATISTICS, 8));
    REQUIRE(statistics);
    CHECK(statistics->header.request_id == 8); // and not 7
    const auto yours = successor->ask(handover_frame(HANDOVER_TAKE));
    REQUIRE(yours);
    CHECK(yours->header.value == HANDOVER_YOURS);
    for (const Follower *follower : {&first, &second}) {
        const auto told = follower->wire.receive();
        REQUIRE(told);
        CHECK(told->header.opcode == FRAME_HANDOVER);
        CHECK(told->header.value == HANDOVER_YOURS);
    }
    CHECK(daemon.wait() == 0);
}
