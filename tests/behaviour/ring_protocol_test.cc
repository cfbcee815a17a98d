// What the daemon does with clients that abuse the rings of their session, its bells, or all of its shared memory: each
// loses its own session, with one line in the log, and nobody else notices.
#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/memory_wire.h"
#include "tests/support/misconduct.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"

extern "C" {
#include "proto/arena.h"
}

using namespace test_support;

namespace
{
void scribble(std::mt19937 &random, uint8_t *at, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        const auto word = static_cast<uint32_t>(random());
        memcpy(at + i, &word, sizeof word);
    }
}
} // namespace

TEST_CASE("a head of the ring that cannot be drops the session")
{
    for (const uint32_t head : {4u, 0x7fffffffu, 0xffffffffu, 0x80000000u}) {
        CAPTURE(head);
        check_dropped([&](MemoryWire &wire) {
            uint32_t &shared = wire.map().request_control->head;
            store(shared, load(shared) + head);
            wire.ring_daemon();
        });
    }
}

TEST_CASE("a record of an absurd length drops the session")
{
    const uint32_t too_long = 256 * 1024;
    for (const uint32_t length : {0u, 8u, 39u, too_long, 0x7fffffffu, 0xffffffffu, 0x80000000u + too_long}) {
        CAPTURE(length);
        check_dropped([&](MemoryWire &wire) {
            REQUIRE(wire.put(plain_frame(FRAME_STATISTICS)));
            memcpy(wire.map().request_ring + (load(wire.map().request_control->head) & (wire.sizes().request_ring - 1)),
                   &length, sizeof length);
            wire.publish();
        });
    }
}

TEST_CASE("a record of another length than its frame says drops the session")
{
    for (const int difference : {-1, 1, 8, 1000}) {
        CAPTURE(difference);
        check_dropped([&](MemoryWire &wire) {
            WireFrame write = plain_frame(FRAME_WRITE, 1, 1);
            write.header.payload_length = 100;
            REQUIRE(wire.put_bytes(encoded(write.header) + std::string(static_cast<size_t>(100 + difference), 'x')));
            wire.publish();
        });
    }
}

TEST_CASE("a frame in the socket after the welcome drops the session")
{
    check_dropped([](MemoryWire &wire) { wire.socket().send(plain_frame(FRAME_STATISTICS, 1)); });
    check_dropped([](MemoryWire &wire) { wire.socket().send_bytes(std::string(100, '\xff')); });
}

TEST_CASE("a second hello in the ring drops the session")
{
    check_dropped([](MemoryWire &wire) { wire.send(hello_frame()); });
}

TEST_CASE("a client that scribbles over all of the memory loses its own session, and nobody else anything")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const size_t mapped = mappings(daemon);
    std::mt19937 random(20'261'120); // the same bytes each time
    const PeerListener listener;
    constexpr size_t rounds = 60;
    for (size_t round = 0; round < rounds; round++) {
        CAPTURE(round);
        MemoryWire wire(daemon.place().socket_path(), 2 * ARENA_BLOCK);
        const int64_t handle = wire.connect(listener.port());
        const Peer peer = listener.accept();
        wire.send(plain_frame(FRAME_READ, 0, handle, 1 << 20));
        wire.send(in_arena(plain_frame(FRAME_WRITE, 2, handle), 0, 50'000));
        peer.send_until_full(round % 3 ? 300'000 : 1000);
        const memory_map &map = wire.map();
        switch (round % 4) {
        case 0: // everything
            scribble(random, wire.base(), wire.size());
            break;
        case 1: // the positions alone
            scribble(random, wire.base(), MEMORY_CONTROL_SIZE);
            break;
        case 2: // records under a head that could be right
            scribble(random, map.request_ring, wire.sizes().request_ring);
            store(map.request_control->head, load(map.request_control->head) + 8 * (1 + random() % 1000));
            break;
        default: // the positions of the replies, which the daemon writes, and all data
            scribble(random, reinterpret_cast<uint8_t *>(map.reply_control), sizeof *map.reply_control);
            scribble(random, map.request_ring, wire.size() - MEMORY_CONTROL_SIZE);
            store(map.request_control->head, load(map.request_control->head) + 8 * (1 + random() % 1000));
        }
        wire.ring_daemon();
        CHECK(wire.is_dropped());
        CHECK(isolate.result(isolate.write(pair.handle, "unharmed")) == 8);
        CHECK(pair.peer.receive(8) == "unharmed");
    }
    CHECK(complaints(daemon) <= rounds);
    CHECK(eventually([&] { return mappings(daemon) == mapped; }));
}

TEST_CASE("records with one byte changed at random never harm the daemon")
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    std::mt19937 random(47'11);
    const PeerListener listener;
    constexpr size_t rounds = 200;
    for (size_t round = 0; round < rounds; round++) {
        MemoryWire wire(daemon.place().socket_path(), ARENA_BLOCK);
        const int64_t handle = wire.connect(listener.port());
        const uint32_t begin = wire.requests().head;
        wire.put(in_arena(plain_frame(FRAME_WRITE, 2, handle), 64, 1000));
        wire.put(plain_frame(FRAME_READ, 0, handle, 1000));
        wire.put(listen_frame(4, {loopback4(), 0}));
        wire.put(plain_frame(FRAME_CLOSE, 6, handle));
        const uint32_t end = wire.requests().head;
        wire.map().request_ring[begin + random() % (end - begin)] = static_cast<uint8_t>(random());
        wire.publish();
        // Either it was noticed, or it was another lawful frame.
        wire.receive(std::chrono::milliseconds(2));
        while (listener.has_connection(std::chrono::milliseconds(0))) {
            listener.accept();
        }
    }
    CHECK(good.is_served());
    CHECK(complaints(daemon) <= rounds);
    CHECK(eventually([&] { return mappings(daemon) == 0; }));
}

TEST_CASE("bytes that change while the daemon reads them never harm it")
{
#ifdef __SANITIZE_THREAD__
    SKIP("a hostile client races on purpose");
#endif
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    const PeerListener listener;
    for (unsigned round = 0; round < 10; round++) {
        MemoryWire wire(daemon.place().socket_path(), ARENA_BLOCK);
        std::atomic<bool> stop{false};
        std::thread scribbler([&] {
            std::mt19937 random(round);
            // The prefixes and headers of records, a byte here and there.
            while (!stop) {
                __atomic_store_n(wire.map().request_ring + random() % wire.sizes().request_ring,
                                 static_cast<uint8_t>(random()), __ATOMIC_RELAXED);
            }
        });
        for (int i = 0; i < 2000 && !wire.is_dropped(std::chrono::milliseconds(0)); i++) {
            wire.put(plain_frame(FRAME_STATISTICS, i));
            wire.publish();
        }
        stop = true;
        scribbler.join();
    }
    CHECK(good.is_served());
}

TEST_CASE("a client that sends requests and never takes its replies is bounded, and gets all of them in the end")
{
    const Daemon daemon;
    MemoryWire greedy(daemon.place().socket_path());
    const Wire good(daemon.place().socket_path());
    good.hello();
    const size_t before = resident_bytes_of(daemon.pid());
    int64_t asked = 0;
    // Until the daemon has taken nothing for a while.
    constexpr int64_t many = 1'000'000;
    while (asked < many && eventually([&] { return greedy.put(plain_frame(FRAME_STATISTICS, asked)); }, moment)) {
        greedy.publish();
        asked++;
    }
    CHECK(asked < many);
    CHECK(good.is_served());
    CHECK(resident_bytes_of(daemon.pid()) < before + (32 << 20));
    int64_t answered = 0;
    while (answered < asked) {
        const auto reply = greedy.receive();
        REQUIRE(reply);
        REQUIRE(reply->header.request_id == answered);
        answered++;
    }
    CHECK(greedy.is_served());
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("bells that are as loud as they can be harm nobody else")
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    MemoryWire wire(daemon.place().socket_path());
    REQUIRE(wire.is_served());
    const uint64_t most = UINT64_MAX - 1;
    for (int i = 0; i < 100; i++) {
        const bool rung = write(wire.daemon_bell(), &most, sizeof most) == sizeof most || errno == EAGAIN;
        REQUIRE(rung);
    }
    // A bell that takes no more is not heard again, which is the client's own loss.
    wire.put(plain_frame(FRAME_STATISTICS, 1));
    wire.publish();
    CHECK(good.is_served());
    const auto cpu = cpu_time_of(daemon.pid());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(cpu_time_of(daemon.pid()) - cpu <= std::chrono::milliseconds(50));
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("a client that does not hear its bell, or has closed it, holds up nobody else")
{
    const Daemon daemon({{"--workers", "1"}, 0, "debug"});
    const Wire good(daemon.place().socket_path());
    good.hello();
    {
        MemoryWire bad(daemon.place().socket_path());
        const int room = fcntl(bad.own_bell(), F_SETPIPE_SZ, 4096);
        REQUIRE(room > 0);
        for (int i = 0; i < room + 100; i++) {
            store(bad.map().reply_control->consumer_sleeps, 1);
            // Answered, and in few bytes: the ring has room for all answers.
            bad.send(plain_frame(FRAME_CLOSE, i, 1));
            REQUIRE(eventually([&] { return bad.next().has_value(); }));
        }
        CHECK(good.is_served());
        bad.close_own_bell();
        store(bad.map().reply_control->consumer_sleeps, 1);
        bad.send(plain_frame(FRAME_STATISTICS, 1));
        CHECK(eventually([&] { return bad.next().has_value(); }));
        CHECK(good.is_served());
    }
    CHECK(good.is_served());
    CHECK(complaints(daemon) == 0);
}

// Whatever the daemon finds it looks at a limited number of times before others have their turn.
TEST_CASE("a client whose position never stands still holds up nobody else")
{
#ifdef __SANITIZE_THREAD__
    SKIP("a hostile client races on purpose");
#endif
    const Daemon daemon({{"--workers", "1"}, 0, "debug"});
    const Wire good(daemon.place().socket_path());
    good.hello();
    MemoryWire bad(daemon.place().socket_path());
    while (eventually([&] { return bad.put(plain_frame(FRAME_STATISTICS, 1)); }, std::chrono::milliseconds(20))) {
        bad.publish();
    }
    std::atomic<bool> stop{false};
    std::thread changer([&] {
        uint32_t &tail = bad.map().reply_control->tail;
        for (uint32_t value = 0x40000000; !stop; value++) {
            __atomic_store_n(&tail, value, __ATOMIC_RELAXED);
        }
    });
    for (int i = 0; i < 20; i++) {
        bad.ring_daemon();
        CHECK(good.is_served());
    }
    stop = true;
    changer.join();
}

TEST_CASE("the daemon lets go of the memory of a client that is killed in the middle of something")
{
    const Daemon daemon;
    const PeerListener listener;
    const size_t mapped = mappings(daemon);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            try {
                MemoryWire wire(daemon.place().socket_path());
                const int64_t handle = wire.connect(listener.port());
                wire.send(plain_frame(FRAME_READ, 0, handle, 1 << 20));
                wire.send(in_arena(plain_frame(FRAME_WRITE, 2, handle), 0, ARENA_BLOCK));
                wire.put(plain_frame(FRAME_STATISTICS));
                kill(getpid(), SIGKILL);
            } catch (...) {
            }
            _exit(1);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        listener.accept();
    }
    CHECK(eventually([&] { return mappings(daemon) == mapped; }));
    const Wire good(daemon.place().socket_path());
    good.hello();
    CHECK(good.is_served());
}
