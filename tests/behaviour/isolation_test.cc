// Sessions share a daemon, and nothing else.
#include <catch2/catch.hpp>

#include <thread>

#include "tests/support/companion.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Echoes through a listener and a connection of one isolate; the first difference, or "".
std::string echo_through(Isolate &isolate, uint64_t seed)
{
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    const int64_t client = isolate.value(isolate.connect(Isolate::local(listener)));
    const int64_t server = isolate.value(accept);
    for (uint64_t i = 0; i < 50; i++) {
        const std::string sent = pattern(1 + (seed * 7919 + i * 104729) % 20'000, seed * 1000 + i);
        if (isolate.result(isolate.write(client, sent)) != static_cast<int64_t>(sent.size()) ||
            isolate.read_exactly(server, sent.size()) != sent ||
            isolate.result(isolate.write(server, sent)) != static_cast<int64_t>(sent.size()) ||
            isolate.read_exactly(client, sent.size()) != sent) {
            return "isolate " + std::to_string(seed) + " differs in round " + std::to_string(i);
        }
    }
    return "";
}
} // namespace

TEST_CASE("two isolates that use the same request ids each get their own completions")
{
    const Daemon daemon;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    const Pair first = connected(one);
    const Pair second = connected(two);
    CHECK(first.handle != second.handle);
    const Request at_one = one.read(first.handle);
    const Request at_two = two.read(second.handle);
    REQUIRE(at_one.id == at_two.id);
    second.peer.send("for two");
    CHECK(two.outcome(at_two).text() == "for two");
    CHECK(one.is_pending(at_one));
    first.peer.send("for one");
    CHECK(one.outcome(at_one).text() == "for one");
    CHECK(one.untaken() == 0);
    CHECK(two.untaken() == 0);
}

TEST_CASE("tcp_destroy of one isolate leaves the other alone")
{
    const Daemon daemon;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    const Pair gone = connected(one);
    const Pair stays = connected(two);
    const Request read = two.read(stays.handle);
    CHECK(one.destroy() == 0);
    CHECK(gone.peer.end() == End::fin);
    stays.peer.send("here");
    CHECK(two.outcome(read).text() == "here");
}

TEST_CASE("a handle used by another isolate than its owner's may be served or refused, and corrupts nothing")
{
    const Daemon daemon;
    Isolate owner;
    Isolate other;
    owner.start();
    other.start();
    const Pair pair = connected(owner);
    const Pair own = connected(other);

    // What is served completes at the owner's port: the handle says whose it is.
    const int64_t id = 555;
    const auto *x = reinterpret_cast<const uint8_t *>("x");
    const int64_t returned = other.inside([&] { return tcp_write(id, pair.handle, x, 0, 1); });
    if (returned == 0) {
        CHECK(owner.result({id, 0, false}) == 1);
        CHECK(pair.peer.receive(1) == "x");
    } else {
        CHECK(returned == TCP_ERR_INVALID_HANDLE);
    }

    CHECK(owner.result(owner.write(pair.handle, "after")) == 5);
    CHECK(pair.peer.receive(5) == "after");
    pair.peer.send("back");
    CHECK(owner.read_exactly(pair.handle, 4) == "back");
    CHECK(other.result(other.write(own.handle, "own")) == 3);
    CHECK(own.peer.receive(3) == "own");
}

TEST_CASE("isolates in many threads echo at the same time, and nobody gets another's bytes")
{
    const Daemon daemon;
    constexpr size_t count = 8;
    std::vector<std::unique_ptr<Isolate>> isolates;
    std::vector<std::string> failures(count);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; i++) {
        isolates.push_back(std::make_unique<Isolate>());
    }
    for (size_t i = 0; i < count; i++) {
        threads.emplace_back([&, i] {
            try {
                isolates[i]->start();
                failures[i] = echo_through(*isolates[i], i + 1);
            } catch (const std::exception &error) {
                failures[i] = error.what();
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    for (const auto &failure : failures) {
        CHECK(failure.empty());
        INFO(failure);
    }
    CHECK(daemon.count_lines("event=open") == count);
}

TEST_CASE("an isolate whose peer reads nothing does not slow another down")
{
    const Daemon daemon;
    Isolate stuck;
    Isolate brisk;
    stuck.start();
    brisk.start();
    const Pair full = connected(stuck);
    const Request write = stuck.write(full.handle, std::string(64 << 20, 'x'));
    CHECK(echo_through(brisk, 1).empty());
    CHECK(stuck.is_pending(write, std::chrono::milliseconds(0)));
}

TEST_CASE("two processes use one daemon, each with a session of its own")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    Companion companion;
    REQUIRE(companion.number("init") == 0);
    CHECK(daemon.logs("event=open.*pid=" + std::to_string(getpid())));
    CHECK(daemon.logs("event=open.*pid=" + std::to_string(companion.process().pid())));

    // From one to the other and back.
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    const std::string client = companion.ask("connect " + std::to_string(Isolate::local(listener).port));
    const int64_t server = isolate.value(accept);
    CHECK(companion.ask("write " + client + " question") == "8");
    CHECK(isolate.read_exactly(server, 8) == "question");
    CHECK(isolate.result(isolate.write(server, "answer")) == 6);
    CHECK(companion.ask("read " + client) == "6 answer");
}

TEST_CASE("a process cannot use the handles of another")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const int64_t listener = listening(isolate);
    Companion companion;
    REQUIRE(companion.number("init") == 0);
    for (const int64_t handle : {pair.handle, listener}) {
        const std::string name = std::to_string(handle);
        for (const std::string verb : {"read ", "accept ", "close "}) {
            CHECK(companion.number(verb + name) == TCP_ERR_INVALID_HANDLE);
        }
        CHECK(companion.number("write " + name + " stolen") == TCP_ERR_INVALID_HANDLE);
    }
    CHECK(isolate.result(isolate.write(pair.handle, "mine")) == 4);
    CHECK(pair.peer.receive(4) == "mine");
    CHECK(accepted(isolate, listener).handle > 0);
}

TEST_CASE("the daemon lets no session name a handle of another, even one that speaks the protocol itself")
{
    const Daemon daemon;
    const Wire owner(daemon.place().socket_path());
    const Wire thief(daemon.place().socket_path());
    owner.hello();
    thief.hello();
    const PeerListener listener;
    const auto reply = owner.ask(connect_frame(1, {loopback4(), listener.port()}));
    REQUIRE(reply);
    REQUIRE(reply->header.value > 0);
    const Peer peer = listener.accept();
    const int64_t handle = reply->header.value;

    for (const uint16_t opcode : {FRAME_ACCEPT, FRAME_CLOSE_WRITE, FRAME_CLOSE, FRAME_LISTENER_CLOSE}) {
        CAPTURE(opcode);
        const auto refusal = thief.ask(plain_frame(opcode, 2, handle));
        REQUIRE(refusal);
        CHECK(refusal->header.value == TCP_ERR_INVALID_HANDLE);
    }
    WireFrame write = plain_frame(FRAME_WRITE, 3, handle);
    write.payload = "stolen";
    const auto refusal = thief.ask(write);
    REQUIRE(refusal);
    CHECK(refusal->header.value == TCP_ERR_INVALID_HANDLE);

    // A read is never answered, so what must not come is data.
    thief.send(plain_frame(FRAME_READ, 0, handle, 1000));
    peer.send("secret");
    CHECK(thief.is_served());

    write.payload = "mine";
    CHECK(owner.ask(write)->header.value == 4);
    CHECK(peer.receive(4) == "mine");
}
