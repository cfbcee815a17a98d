// Data ahead of the application's reads. On both lanes.
#include <catch2/catch.hpp>

#include <future>
#include <sys/resource.h>
#include <sys/socket.h>
#include <vector>

#include "tests/support/counters.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"
#include "tests/support/stream.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
constexpr size_t mib = 1 << 20;
constexpr size_t first_window = 16 * 1024;

// Has some bytes read, so that there is a window, and then as many as `ahead` come ahead of the next read.
void bring_ahead(Isolate &isolate, const Pair &pair, const Counters &counters, std::string_view ahead)
{
    const uint64_t before = counters.look().bytes_received;
    pair.peer.send("first");
    REQUIRE(isolate.read_exactly(pair.handle, 5) == "first");
    pair.peer.send(ahead);
    REQUIRE(counters.have_received(before + 5 + ahead.size()));
    // What the daemon has received it has passed on in the same turn; the library takes it in the next moment.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// Both sides of `count` connections are descriptors, one here and one in the daemon.
bool allows_connections(size_t count)
{
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
    return limit.rlim_max >= count + 200;
}
} // namespace

TEST_CASE("a slow reader holds its window at most, and the peer waits")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    const size_t there = resident_bytes_of(daemon.pid());
    const size_t here = resident_bytes_of(getpid());
    const Request request = isolate.read(pair.handle);
    const size_t sent = pair.peer.send_until_full(64 * mib);
    CHECK(sent < 64 * mib);
    const Outcome outcome = isolate.outcome(request);
    REQUIRE(outcome.data);
    std::this_thread::sleep_for(moment);
    CHECK(counters.look().bytes_received <= outcome.data->bytes().size() + 2 * first_window);
    CHECK(resident_bytes_of(daemon.pid()) < there + (is_sanitized ? 64 : 4) * mib);
    CHECK(resident_bytes_of(getpid()) < here + (is_sanitized ? 64 : 4) * mib);
    const size_t rest = sent - outcome.data->bytes().size();
    CHECK((isolate.read_exactly(pair.handle, rest) == std::string(rest, 'x')));
}

TEST_CASE("without a read nothing is taken from a connection")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    pair.peer.send(pattern(10'000));
    std::this_thread::sleep_for(moment);
    CHECK(counters.look().bytes_received == 0);
    CHECK((isolate.read_exactly(pair.handle, 10'000) == pattern(10'000)));
}

// With select there can be fewer; a sanitizer makes each expensive.
TEST_CASE("memory stays bounded with 10,000 connections whose application does not read while their peers send")
{
    const size_t count = method_under_test() == "select" ? 400 : is_sanitized ? 2000 : 10'000;
    if (!allows_connections(count)) {
        SKIP("the limit on descriptors is too low here");
    }
    DaemonOptions options;
    options.log_level = "info";
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const int64_t listener = listening(isolate);
    std::vector<Pair> pairs;
    while (pairs.size() < count) {
        pairs.push_back(accepted(isolate, listener));
    }
    const std::string sent = pattern(64 * 1024);
    const size_t there = resident_bytes_of(daemon.pid());
    const size_t here = resident_bytes_of(getpid());
    for (const Pair &pair : pairs) {
        REQUIRE(send(pair.peer.fd(), sent.data(), sent.size(), MSG_DONTWAIT) == static_cast<ssize_t>(sent.size()));
    }
    std::this_thread::sleep_for(moment);
    CHECK(counters.look().bytes_received == 0);
    if (!is_sanitized) {
        CHECK(resident_bytes_of(daemon.pid()) < there + 2 * mib);
        CHECK(resident_bytes_of(getpid()) < here + 2 * mib);
    }

    // And when it reads once from each, what comes ahead is bounded by their windows.
    for (const Pair &pair : pairs) {
        REQUIRE(isolate.value(isolate.read(pair.handle)) > 0);
    }
    std::this_thread::sleep_for(moment);
    CHECK(counters.look().bytes_received <= count * 3 * first_window);
    if (!is_sanitized) {
        CHECK(resident_bytes_of(daemon.pid()) < there + 32 * mib);
        CHECK(resident_bytes_of(getpid()) < here + count * 3 * first_window + 32 * mib);
    }
    for (size_t i = 0; i < count; i += 97) {
        // The rest of what was sent, however much the first read got.
        pairs[i].peer.shut_down_write();
        int64_t end = 0;
        const std::string rest = isolate.read_all(pairs[i].handle, &end);
        CHECK(end == TCP_ERR_CLOSED);
        CHECK((!rest.empty() && rest == sent.substr(sent.size() - rest.size())));
    }
    for (Pair &pair : pairs) {
        pair.peer.reset(); // leaves no TIME_WAIT behind
    }
}

TEST_CASE("a read that finds bytes that came ahead is answered without the daemon")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "second");
    const uint64_t before = counters.look().bytes_received;
    pair.peer.send("third");
    REQUIRE(counters.have_received(before + 5));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    {
        const Stopped stopped(daemon.pid());
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "second");
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "third");
    }
    const Request next = isolate.read(pair.handle);
    pair.peer.send("fourth");
    CHECK(isolate.outcome(next).text() == "fourth");
}

TEST_CASE("the end of a stream that came ahead is answered without the daemon, behind the data")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "last words");
    pair.peer.shut_down_write();
    std::this_thread::sleep_for(moment);
    {
        const Stopped stopped(daemon.pid());
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "last words");
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    }
    // The other direction is still open.
    CHECK(isolate.result(isolate.write(pair.handle, "answer")) == 6);
    CHECK(pair.peer.receive(6) == "answer");
}

TEST_CASE("our own end of the stream leaves what came ahead and what is still to come")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "ahead");
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    CHECK(pair.peer.end() == End::fin);
    pair.peer.send(" and behind");
    pair.peer.shut_down_write();
    int64_t end = 0;
    CHECK(isolate.read_all(pair.handle, &end) == "ahead and behind");
    CHECK(end == TCP_ERR_CLOSED);
}

TEST_CASE("close drops what came ahead, gives its room back, and the peer sees the end")
{
    const Daemon daemon({{"--max-arena-bytes", "262144"}, 0, "debug"});
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const std::string ahead = pattern(first_window - 1000);
    // More than the arena has.
    for (int i = 0; i < 40; i++) {
        const Pair pair = connected(isolate);
        const uint64_t before = counters.look().bytes_received;
        const Request request = isolate.read(pair.handle);
        pair.peer.send("first");
        REQUIRE(isolate.outcome(request).text() == "first");
        pair.peer.send(ahead);
        REQUIRE(counters.have_received(before + 5 + ahead.size()));
        CHECK(isolate.result(isolate.close(pair.handle)) == 0);
        CHECK(pair.peer.end() != End::none);
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_INVALID_HANDLE);
    }
    const Pair pair = connected(isolate);
    const Stream stream;
    const auto sender = std::async(std::launch::async, [&] { stream.send(pair.peer, 4 * mib); });
    CHECK(stream.has(0, isolate.read_exactly(pair.handle, 4 * mib)));
}
