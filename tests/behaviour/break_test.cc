// A connection that breaks when nothing is under way on it: the isolate learns of that without writing again. On both
// lanes.
#include <catch2/catch.hpp>

#include <cerrno>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"

using namespace test_support;

namespace
{
constexpr int64_t features = OCHE_FEATURE_ERROR_DETAIL | OCHE_FEATURE_QUIET_WRITES | OCHE_FEATURE_BREAKS;

Request write_with_id(Isolate &isolate, int64_t id, int64_t handle, std::string_view bytes)
{
    return isolate.made(id, isolate.inside([&] {
        return as_leaf([&] {
            return tcp_write(id, handle, reinterpret_cast<const uint8_t *>(bytes.data()), 0,
                             static_cast<int64_t>(bytes.size()));
        });
    }));
}

// The peer has sent the end of its stream, and the isolate has seen it.
void end_stream(Isolate &isolate, const Pair &pair)
{
    pair.peer.shut_down_write();
    REQUIRE(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
}

// What is posted under the id of a write that has succeeded.
void check_told(Isolate &isolate, int64_t id)
{
    const Outcome outcome = isolate.outcome(isolate.made(id, 0));
    CHECK(outcome.result == TCP_ERR_READ_FAILED);
    CHECK(outcome.os_error == EPIPE); // what the system says of a reset behind the end of a stream
}
} // namespace

TEST_CASE("a connection that breaks is told of with the id of its last write, negated if that was positive")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(features) == 0);
    for (const bool quiet : {false, true}) {
        Pair pair = connected(isolate);
        const int64_t id = isolate.next_id();
        const Request write = write_with_id(isolate, quiet ? -id : id, pair.handle, "hello");
        REQUIRE(write.returned == 0);
        REQUIRE(pair.peer.receive(5) == "hello");
        if (!quiet) {
            REQUIRE(isolate.result(write) == 5);
        }
        end_stream(isolate, pair);
        pair.peer.reset();
        check_told(isolate, -id);
        CHECK(isolate.result(isolate.write(pair.handle, "more")) == TCP_ERR_WRITE_FAILED);
    }
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a peer that is gone is noticed with the first write that it does not take, not with the second")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(features) == 0);
    Pair pair = connected(isolate);
    pair.peer.close();
    REQUIRE(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    REQUIRE(write_with_id(isolate, -7, pair.handle, "event").returned == 0);
    check_told(isolate, -7);
}

TEST_CASE("a hundred peers that are gone are noticed with one write to each")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(features) == 0);
    std::vector<Pair> pairs;
    for (int i = 0; i < 100; i++) {
        pairs.push_back(connected(isolate));
    }
    for (Pair &pair : pairs) {
        pair.peer.close();
        REQUIRE(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    }
    for (size_t i = 0; i < pairs.size(); i++) {
        REQUIRE(write_with_id(isolate, -static_cast<int64_t>(i + 1), pairs[i].handle, "event").returned == 0);
    }
    for (size_t i = 0; i < pairs.size(); i++) {
        check_told(isolate, -static_cast<int64_t>(i + 1));
    }
}

TEST_CASE("nobody is told of a break who has not asked for it, or has written nothing")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair other = connected(isolate);
    for (const bool asks : {false, true}) {
        REQUIRE(isolate.enable(asks ? features : features & ~OCHE_FEATURE_BREAKS) == 0);
        Pair pair = connected(isolate);
        if (!asks) {
            REQUIRE(isolate.result(isolate.write(pair.handle, "hello")) == 5);
            REQUIRE(pair.peer.receive(5) == "hello");
        }
        end_stream(isolate, pair);
        pair.peer.reset();
        // What the daemon tells of the reset comes before the second of these answers, for it sees the reset in the
        // turn of the first one at the latest.
        CHECK(echoes(isolate, other));
        CHECK(echoes(isolate, other));
        CHECK(isolate.untaken() == 0);
        const Outcome outcome = isolate.outcome(isolate.write(pair.handle, "more"));
        CHECK(outcome.result == TCP_ERR_WRITE_FAILED);
        CHECK(outcome.os_error == EPIPE);
    }
}

TEST_CASE("when both sides have ended in order nothing is broken")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(features) == 0);
    for (const bool peer_first : {false, true}) {
        Pair pair = connected(isolate);
        REQUIRE(isolate.result(isolate.write(pair.handle, "hello")) == 5);
        if (peer_first) {
            end_stream(isolate, pair);
        }
        REQUIRE(isolate.result(isolate.close_write(pair.handle)) == 0);
        CHECK(pair.peer.receive_all() == "hello");
        if (!peer_first) {
            end_stream(isolate, pair);
        }
        pair.peer.close();
        CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    }
    CHECK(isolate.untaken() == 0);
}
