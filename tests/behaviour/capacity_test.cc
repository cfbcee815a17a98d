// How much fits, and what happens when nothing fits any more.
#include <catch2/catch.hpp>

#include <cerrno>
#include <sys/resource.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
rlim_t descriptor_limit()
{
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    // The soft limit is ours to raise.
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
    return limit.rlim_max;
}

// Connects peers to a listener that is accepting, `count` at once.
void add_connections(Isolate &isolate, int64_t listener, size_t count, std::vector<Pair> &pairs)
{
    const Endpoint local = Isolate::local(listener);
    std::vector<Request> accepts;
    std::vector<Peer> peers;
    for (size_t i = 0; i < count; i++) {
        accepts.push_back(isolate.accept(listener));
    }
    for (size_t i = 0; i < count; i++) {
        // One source address has 28,000 ports at most, and other tests want some too.
        const auto source = static_cast<uint8_t>(2 + pairs.size() / 4000);
        peers.push_back(Peer::connect(local, {loopback4(source), 0}));
    }
    for (size_t i = 0; i < count; i++) {
        pairs.push_back({isolate.value(accepts[i]), std::move(peers[i])});
    }
}

void reset_all(std::vector<Pair> &pairs)
{
    for (Pair &pair : pairs) {
        pair.peer.reset(); // leaves no TIME_WAIT behind
    }
}
} // namespace

TEST_CASE("15,000 connections are open at once under a limit of 20,000 descriptors, at no more than 2 KiB each")
{
    constexpr size_t count = 15'000;
    if (method_under_test() == "select") {
        SKIP("select(2) can wait for 1024 descriptors only");
    }
    if (descriptor_limit() < count + 500) {
        SKIP("the limit on descriptors is too low here");
    }
    DaemonOptions options;
    options.descriptors = std::min<rlim_t>(descriptor_limit(), 20'000);
    options.log_level = "info";
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<Pair> pairs;
    pairs.reserve(count);
    add_connections(isolate, listener, 500, pairs);
    const size_t first = pairs.size();
    const size_t before = resident_bytes_of(daemon.pid());
    while (pairs.size() < count) {
        add_connections(isolate, listener, 500, pairs);
    }
    for (size_t i = first; i < count; i++) {
        REQUIRE(isolate.read(pairs[i].handle).returned == 0);
    }
    CHECK(daemon.descriptor_count() >= count);

    // All of them work.
    for (size_t i = 0; i < count; i += 997) {
        CHECK(isolate.result(isolate.write(pairs[i].handle, "x")) == 1);
        CHECK(pairs[i].peer.receive(1) == "x");
    }
    const size_t each = (resident_bytes_of(daemon.pid()) - before) / (count - first);
    WARN("daemon memory for a connection with a pending read: " << each << " bytes");
    CHECK((each <= 2048 || is_sanitized));
    reset_all(pairs);
    CHECK(isolate.result(isolate.listener_close(listener, true)) == 0);
}

TEST_CASE("with select, as many connections are open at once as select can wait for, and the next one is refused")
{
    if (method_under_test() != "select") {
        SKIP("this is about select");
    }
    const Daemon daemon({{"--max-sessions", "8"}, 0, "debug"});
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<Pair> pairs;
    add_connections(isolate, listener, 900, pairs);
    for (size_t i = 0; i < pairs.size(); i += 97) {
        CHECK(isolate.result(isolate.write(pairs[i].handle, "x")) == 1);
        CHECK(pairs[i].peer.receive(1) == "x");
    }
    const PeerListener target(loopback4(), 256);
    std::vector<Request> requests;
    for (int i = 0; i < 200; i++) {
        requests.push_back(isolate.connect({loopback4(), target.port()}));
    }
    size_t refused = 0;
    for (const Request &request : requests) {
        const int64_t result = isolate.result(request);
        refused += result < 0;
        CHECK((result > 0 || result == TCP_ERR_CONNECT_FAILED || result == TCP_ERR_QUOTA));
    }
    CHECK(refused > 0);
    CHECK(isolate.result(isolate.write(pairs[0].handle, "y")) == 1);
    reset_all(pairs);
}

TEST_CASE("at the descriptor limit accept pauses, says so once, uses no CPU, and goes on when descriptors are free")
{
    DaemonOptions options;
    options.descriptors = 100;
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    constexpr size_t count = 150;
    std::vector<Request> accepts;
    std::vector<Peer> peers;
    for (size_t i = 0; i < count; i++) {
        accepts.push_back(isolate.accept(listener));
        peers.push_back(Peer::connect(Isolate::local(listener)));
    }
    std::vector<int64_t> handles;
    for (const Request &request : accepts) {
        if (isolate.is_pending(request)) {
            break;
        }
        handles.push_back(isolate.value(request));
    }
    CHECK(handles.size() > 40);
    REQUIRE(handles.size() < 100);
    CHECK(daemon.count_lines(" (warning|error) .*event=accept-paused") == 1);

    // Neither the loop nor the log runs hot.
    const auto cpu = cpu_time_of(daemon.pid());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK(cpu_time_of(daemon.pid()) - cpu <= std::chrono::milliseconds(20));
    CHECK(daemon.count_lines(" (warning|error) ") == 1);

    // What is open works on.
    CHECK(isolate.result(isolate.write(handles[0], "still here")) == 10);
    CHECK(peers[0].receive(10) == "still here");

    // Each that is closed lets another one in, to the last.
    size_t in = handles.size();
    for (size_t out = 0; in < count; out++, in++) {
        REQUIRE(out < handles.size());
        CHECK(isolate.result(isolate.close(handles[out])) == 0);
        handles.push_back(isolate.value(accepts[in]));
    }
    CHECK(isolate.result(isolate.write(handles.back(), "me too")) == 6);
    CHECK(peers.back().receive(6) == "me too");
    CHECK(daemon.count_lines(" (warning|error) ") == 1);
}

TEST_CASE("an accept that pauses goes on when a session of another worker closes something")
{
    DaemonOptions options;
    options.descriptors = 100;
    options.arguments = {"--workers", "2"};
    const Daemon daemon(options);
    Isolate hoarder;
    Isolate waiter;
    hoarder.start();
    waiter.start();
    const int64_t listener = listening(waiter);
    const PeerListener target(loopback4(), 256);
    std::vector<int64_t> handles;
    for (int64_t handle = 0; (handle = hoarder.result(hoarder.connect({loopback4(), target.port()}))) > 0;) {
        handles.push_back(handle);
    }
    const Request accept = waiter.accept(listener);
    const Peer peer = Peer::connect(Isolate::local(listener));
    CHECK(waiter.is_pending(accept));
    CHECK(hoarder.result(hoarder.close(handles.back())) == 0);
    CHECK(waiter.value(accept) > 0);
}

TEST_CASE("at the descriptor limit connect and listen fail with a code and errno, and new sessions are let in")
{
    DaemonOptions options;
    options.descriptors = 100;
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const PeerListener target(loopback4(), 256);
    std::vector<int64_t> handles;
    Outcome end{};
    while (handles.size() < 200) {
        end = isolate.outcome(isolate.connect({loopback4(), target.port()}));
        if (end.result <= 0) {
            break;
        }
        handles.push_back(end.result);
    }
    CHECK(handles.size() > 40);
    CHECK((end.result == TCP_ERR_CONNECT_FAILED || end.result == TCP_ERR_QUOTA));
    CHECK(end.os_error == EMFILE);
    const Outcome listen = isolate.outcome(isolate.listen({loopback4(), 0}));
    CHECK((listen.result == TCP_ERR_LISTEN_FAILED || listen.result == TCP_ERR_BIND_FAILED ||
           listen.result == TCP_ERR_QUOTA));
    CHECK(listen.os_error == EMFILE);

    Isolate other;
    other.start();
    CHECK(isolate.result(isolate.close(handles.back())) == 0);
    CHECK(eventually([&] { return other.result(other.connect({loopback4(), target.port()})) > 0; }));
}

TEST_CASE("past --max-handles a session gets QUOTA, and works on after it has closed something")
{
    DaemonOptions options;
    options.arguments = {"--max-handles", "10"};
    const Daemon daemon(options);
    Isolate isolate;
    Isolate other;
    isolate.start();
    other.start();
    const PeerListener target(loopback4(), 64);
    std::vector<int64_t> handles;
    for (int i = 0; i < 10; i++) {
        handles.push_back(isolate.value(isolate.connect({loopback4(), target.port()})));
    }
    CHECK(isolate.result(isolate.connect({loopback4(), target.port()})) == TCP_ERR_QUOTA);
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_QUOTA);
    CHECK(other.result(other.connect({loopback4(), target.port()})) > 0);
    CHECK(isolate.result(isolate.close(handles[3])) == 0);
    CHECK(isolate.result(isolate.connect({loopback4(), target.port()})) > 0);
}

TEST_CASE("past --max-sessions tcp_init gives QUOTA, until a session ends")
{
    DaemonOptions options;
    options.arguments = {"--max-sessions", "2"};
    const Daemon daemon(options);
    Isolate one;
    Isolate two;
    Isolate three;
    one.start();
    two.start();
    CHECK(three.init() == TCP_ERR_QUOTA);
    CHECK_FALSE(std::string(oche_last_error()).empty());
    CHECK(connected(one).handle > 0);
    CHECK(two.destroy() == 0);
    CHECK(eventually([&] { return three.init() == 0; }));
    CHECK(connected(three).handle > 0);
}
