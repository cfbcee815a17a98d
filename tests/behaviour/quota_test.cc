// What all sessions of a user may have together: a session more brings no more.
#include <catch2/catch.hpp>

#include <thread>
#include <unistd.h>

#include "tests/support/counters.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/setting.h"
#include "tests/support/skip.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Nothing is in use but one session that does nothing, and its arena.
bool is_clear(const oche_statistics &now, uint64_t arena)
{
    return now.user_sessions.used == 1 && now.user_handles.used == 0 && now.user_queued_bytes.used == 0 &&
           now.user_requests.used == 0 && now.user_arena_bytes.used == arena;
}

bool on_memory()
{
    return lane_under_test() == "memory";
}

DaemonOptions with(std::vector<std::string> arguments)
{
    DaemonOptions options;
    options.arguments = std::move(arguments);
    return options;
}
} // namespace

TEST_CASE("past --user-max-handles every session of the user gets QUOTA, until one of them closes something")
{
    const Daemon daemon(with({"--user-max-handles", "10", "--workers", "2"}));
    const Counters counters;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    const PeerListener target(loopback4(), 64);
    const Endpoint to{loopback4(), target.port()};
    std::vector<int64_t> handles;
    for (int i = 0; i < 10; i++) {
        Isolate &isolate = i % 2 == 0 ? one : two;
        handles.push_back(isolate.value(isolate.connect(to)));
    }
    CHECK(one.result(one.connect(to)) == TCP_ERR_QUOTA);
    CHECK(two.result(two.connect(to)) == TCP_ERR_QUOTA);
    CHECK(two.result(two.listen({loopback4(), 0})) == TCP_ERR_QUOTA);
    oche_statistics now = counters.look();
    CHECK(now.user == geteuid());
    CHECK(now.user_handles.used == 10);
    CHECK(now.user_handles.limit == 10);
    CHECK(now.user_handles.refused == 3);
    CHECK(daemon.count_lines(" warning .*event=quota .*what=\"handles\" limit=10") == 1);
    CHECK(one.result(one.close(handles[0])) == 0);
    CHECK(two.value(two.connect(to)) > 0);
    CHECK(one.result(one.connect(to)) == TCP_ERR_QUOTA);
}

TEST_CASE("an accept that finds the user's handles used up goes on when another session closes something")
{
    const Daemon daemon(with({"--user-max-handles", "4", "--workers", "2"}));
    Isolate hoarder;
    Isolate waiter;
    hoarder.start();
    waiter.start();
    const PeerListener target(loopback4(), 64);
    const int64_t listener = listening(waiter);
    std::vector<int64_t> handles;
    for (int i = 0; i < 3; i++) {
        handles.push_back(hoarder.value(hoarder.connect({loopback4(), target.port()})));
    }
    const Request accept = waiter.accept(listener);
    const Peer peer = Peer::connect(Isolate::local(listener));
    CHECK(waiter.is_pending(accept));
    CHECK(daemon.count_lines("event=accept-paused .*handle of the user") == 1);
    CHECK(hoarder.result(hoarder.close(handles.back())) == 0);
    CHECK(waiter.value(accept) > 0);
}

TEST_CASE("past --user-max-queued-bytes writes of every session get QUOTA, until bytes have left")
{
    const Daemon daemon(with({"--user-max-queued-bytes", "6000000"}));
    const Counters counters;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    const Pair first = connected(one);
    const Pair second = connected(two);
    // The peers do not read: what the kernel does not take stays.
    const std::string piece(1'000'000, 'x');
    std::vector<Request> writes;
    Isolate *const isolates[] = {&one, &two};
    const int64_t handles[] = {first.handle, second.handle};
    for (int i = 0; i < 40; i++) {
        writes.push_back(isolates[i % 2]->write(handles[i % 2], piece));
    }
    REQUIRE(eventually([&] { return counters.look().user_queued_bytes.refused > 0; }));
    const oche_statistics now = counters.look();
    CHECK(now.user_queued_bytes.used <= 6'000'000);
    CHECK(now.user_queued_bytes.limit == 6'000'000);
    CHECK(daemon.count_lines("event=quota .*what=\"queued bytes\"") == 1);

    // What was taken on arrives; the others were refused as a whole, or with their rest.
    std::thread readers[] = {std::thread([&] { first.peer.rest(); }), std::thread([&] { second.peer.rest(); })};
    size_t refused = 0;
    for (size_t i = 0; i < writes.size(); i++) {
        const int64_t result = isolates[i % 2]->result(writes[i]);
        refused += result == TCP_ERR_QUOTA;
        CHECK((result == 1'000'000 || result == TCP_ERR_QUOTA));
    }
    CHECK(refused > 0);
    CHECK(refused < writes.size());
    // A connection whose write was refused has no more to send; others have.
    CHECK(one.result(one.write(first.handle, piece)) == TCP_ERR_QUOTA);
    CHECK(one.result(one.close(first.handle)) == 0);
    CHECK(two.result(two.close(second.handle)) == 0);
    for (std::thread &reader : readers) {
        reader.join();
    }
    const Pair third = connected(one);
    CHECK(one.result(one.write(third.handle, piece)) == 1'000'000);
    CHECK(counters.look().user_queued_bytes.used == 0);
}

TEST_CASE("past --user-max-requests accepts, connects and writes get QUOTA in every session")
{
    const Daemon daemon(with({"--user-max-requests", "5"}));
    const Counters counters;
    Isolate one;
    Isolate two;
    one.start();
    two.start();
    const int64_t listener = listening(one);
    const int64_t other_listener = listening(two);
    const Pair pair = connected(two);
    const Pair other = connected(two);
    std::vector<Request> accepts;
    for (int i = 0; i < 5; i++) {
        accepts.push_back(one.accept(listener));
    }
    REQUIRE(eventually([&] { return counters.look().user_requests.used == 5; }));
    CHECK(two.result(two.accept(other_listener)) == TCP_ERR_QUOTA);
    CHECK(two.result(two.connect({loopback4(), 1})) == TCP_ERR_QUOTA);
    CHECK(two.result(two.write(pair.handle, "x")) == TCP_ERR_QUOTA);
    CHECK(counters.look().user_requests.refused == 3);

    // The end of a stream can always be sent, if the stream is whole.
    CHECK(two.result(two.close_write(other.handle)) == 0);
    CHECK(other.peer.end() == End::fin);
    CHECK(two.result(two.close_write(pair.handle)) == TCP_ERR_QUOTA);

    CHECK(one.result(one.listener_close(listener, false)) == 0);
    for (const Request &accept : accepts) {
        CHECK(one.result(accept) == TCP_ERR_CLOSED);
    }
    CHECK(counters.look().user_requests.used == 0);
    CHECK(two.result(two.connect({loopback4(), 1})) == TCP_ERR_CONNECT_FAILED);
}

TEST_CASE("a user's sessions share --user-max-arena-bytes: the next gets less, in the end the plain lane, and works")
{
    if (!on_memory()) {
        SKIP("this is about the memory lane");
    }
    const Daemon daemon(with({"--max-arena-bytes", "1048576", "--user-max-arena-bytes", "1572864"}));
    const Setting no_preference("OCHE_LANE", nullptr);
    // 1.5 MiB: half of it, 768 KiB; half of the rest in whole blocks, 256 KiB; then what is left, a block each.
    Isolate isolates[6];
    for (Isolate &isolate : isolates) {
        REQUIRE(isolate.init() == 0);
        const Pair pair = connected(isolate);
        CHECK(isolate.result(isolate.write(pair.handle, std::string(100'000, 'x'))) == 100'000);
        pair.peer.send(std::string(100'000, 'y'));
        CHECK(isolate.read_exactly(pair.handle, 100'000) == std::string(100'000, 'y'));
    }
    CHECK(daemon.count_lines("event=open .*lane=memory") == 4);
    CHECK(daemon.count_lines("event=open .*lane=plain") == 2);
    CHECK(daemon.count_lines("event=quota .*what=\"arena bytes\"") == 1);

    // What a session had is there for others.
    for (Isolate &isolate : isolates) {
        CHECK(isolate.destroy() == 0);
    }
    const Counters counters;
    CHECK(eventually([&] { return counters.look().user_sessions.used == 1; }));
    Isolate last;
    last.start();
    CHECK(counters.look().user_arena_bytes.used >= 262'144);
    CHECK(counters.look().user_arena_bytes.limit == 1'572'864);
}

TEST_CASE("past --user-max-session-rate tcp_init gives QUOTA, though no session is left open")
{
    const Daemon daemon(with({"--user-max-session-rate", "1"}));
    // The bucket holds one. Seconds may pass between two attempts, but not between all.
    size_t refused = 0;
    for (int i = 0; i < 200 && refused == 0; i++) {
        Isolate isolate;
        const int64_t status = isolate.init();
        CHECK((status == 0 || status == TCP_ERR_QUOTA));
        refused += status == TCP_ERR_QUOTA;
    }
    CHECK(refused == 1);
    CHECK(daemon.count_lines("event=refused .*--user-max-session-rate") == 1);
    Isolate later;
    CHECK(eventually([&] { return later.init() == 0; }));
}

TEST_CASE("past --user-max-connection-rate connects get QUOTA and accepts wait, and all are served in the end")
{
    const Daemon daemon(with({"--user-max-connection-rate", "20"}));
    const Counters counters;
    Isolate isolate;
    isolate.start();
    const PeerListener target(loopback4(), 256);
    size_t refused = 0;
    for (int i = 0; i < 400 && refused == 0; i++) {
        const int64_t result = isolate.result(isolate.connect({loopback4(), target.port()}));
        CHECK((result > 0 || result == TCP_ERR_QUOTA));
        refused += result == TCP_ERR_QUOTA;
    }
    CHECK(refused == 1);
    CHECK(counters.look().user_connection_rate.refused == 1);
    CHECK(counters.look().user_connection_rate.limit == 20);

    const int64_t listener = listening(isolate);
    std::vector<Request> accepts;
    std::vector<Peer> peers;
    for (int i = 0; i < 40; i++) {
        accepts.push_back(isolate.accept(listener));
        peers.push_back(Peer::connect(Isolate::local(listener)));
    }
    for (const Request &accept : accepts) {
        CHECK(isolate.value(accept) > 0);
    }
    CHECK(daemon.count_lines("event=accept-paused .*connection of this second") == 1);
}

TEST_CASE("clients that are refused and say nothing are few: the others are hung up on")
{
    const Daemon daemon(with({"--max-sessions", "1"}));
    Isolate isolate;
    isolate.start();
    std::vector<Wire> silent;
    for (int i = 0; i < 16; i++) {
        silent.emplace_back(daemon.place().socket_path());
    }
    const Wire one_more(daemon.place().socket_path());
    // Those who have not said HELLO are not told anything; that nothing is waited for is seen by the reason.
    CHECK(daemon.logs("event=refused .*--max-sessions"));
    CHECK(one_more.is_dropped());
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("when all is over the user's account is empty, however it ended")
{
    const Daemon daemon(with({"--workers", "2"}));
    const Counters counters;
    const uint64_t own_arena = counters.look().user_arena_bytes.used;
    const FullListener full;
    {
        Isolate closed;
        Isolate destroyed;
        closed.start();
        destroyed.start();
        std::vector<Pair> pairs; // their peers do not read
        for (Isolate *isolate : {&closed, &destroyed}) {
            const int64_t listener = listening(*isolate);
            pairs.push_back(accepted(*isolate, listener));
            pairs.push_back(connected(*isolate));
            const Pair &made = pairs.back();
            const Request accept = isolate->accept(listener);
            const Request connect = isolate->connect({full.address(), full.port()});
            const Request write = isolate->write(made.handle, std::string(30'000'000, 'x'));
            REQUIRE(eventually([&] { return counters.look().user_requests.used >= 3; }));
            CHECK(isolate->is_pending(write));
            CHECK(isolate->is_pending(accept));
            if (isolate == &closed) {
                CHECK(isolate->result(isolate->listener_close(listener, true)) == 0);
                CHECK(isolate->result(isolate->abort(made.handle)) == 0);
                CHECK(isolate->result(accept) == TCP_ERR_CLOSED);
                CHECK(isolate->result(write) == TCP_ERR_CLOSED);
                CHECK(isolate->cancel(connect) == 0);
                CHECK(isolate->result(connect) == TCP_ERR_CLOSED);
                CHECK(counters.look().user_requests.used == 0);
                CHECK(counters.look().user_handles.used == 0);
                CHECK(counters.look().user_queued_bytes.used == 0);
            }
        }
        Wire wire(daemon.place().socket_path());
        wire.hello();
        wire.send(listen_frame(1, {loopback4(), 0}));
        const auto listen = wire.receive();
        REQUIRE(listen);
        wire.send(plain_frame(FRAME_ACCEPT, 2, listen->header.value));
        REQUIRE(wire.is_served());
        CHECK(counters.look().user_requests.used >= 4);
        wire.send_bytes(std::string(200, '\xff'));
        CHECK(wire.is_dropped());
    }
    CHECK(eventually([&] { return is_clear(counters.look(), own_arena); }));
}
