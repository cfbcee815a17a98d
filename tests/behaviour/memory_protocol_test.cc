// What the daemon does with clients that abuse the shared memory of their session: each loses its own session, with
// one line in the log, and nobody else notices.
#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/memory_wire.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

extern "C" {
#include "proto/arena.h"
}

using namespace test_support;

namespace
{
size_t complaints(const Daemon &daemon)
{
    return daemon.count_lines(" (warning|error) ");
}

size_t mappings(const Daemon &daemon)
{
    return count_lines(contents_of("/proc/" + std::to_string(daemon.pid()) + "/maps"), "memfd:oche");
}

// Checks that the session is dropped as it should be while good ones on both lanes go on.
void check_dropped(const std::function<void(MemoryWire &)> &misbehave)
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    MemoryWire good_in_memory(daemon.place().socket_path());
    {
        MemoryWire bad(daemon.place().socket_path());
        REQUIRE(bad.is_served());
        REQUIRE(complaints(daemon) == 0);
        misbehave(bad);
        CHECK(bad.is_dropped());
    }
    CHECK(daemon.logs(" warning session=.*event=malformed"));
    CHECK(complaints(daemon) == 1);
    CHECK(good.is_served());
    CHECK(good_in_memory.is_served());
    CHECK(eventually([&] { return mappings(daemon) == 1; }));
}

// A frame that says where its payload lies in the arena.
WireFrame in_arena(WireFrame frame, uint32_t offset, uint32_t length)
{
    frame.header.flags |= FRAME_IN_ARENA;
    frame.header.payload_offset = offset;
    frame.header.payload_length = length;
    return frame;
}

// Connects, and has the daemon put data into the receive arena; where they lie.
frame receive_into_arena(MemoryWire &wire)
{
    const PeerListener listener;
    const int64_t handle = wire.connect(listener.port());
    const Peer peer = listener.accept();
    wire.send(plain_frame(FRAME_READ, 0, handle, FRAME_CREDIT_MAX));
    std::string sent = pattern(1 << 20);
    peer.send(sent);
    while (true) {
        const auto reply = wire.receive();
        REQUIRE(reply);
        REQUIRE(reply->header.opcode == FRAME_READ);
        if (reply->header.flags & FRAME_IN_ARENA) {
            return reply->header;
        }
    }
}

void scribble(std::mt19937 &random, uint8_t *at, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        const auto word = static_cast<uint32_t>(random());
        memcpy(at + i, &word, sizeof word);
    }
}
} // namespace

TEST_CASE("the memory is sealed against shrinking, growing and unsealing, and ftruncate fails")
{
    const Daemon daemon;
    const MemoryWire wire(daemon.place().socket_path());
    const int seals = fcntl(wire.memory_fd(), F_GET_SEALS);
    REQUIRE(seals >= 0);
    CHECK((seals & F_SEAL_SHRINK));
    CHECK((seals & F_SEAL_GROW));
    CHECK((seals & F_SEAL_SEAL));
    CHECK(ftruncate(wire.memory_fd(), 0) < 0);
    CHECK(errno == EPERM);
    CHECK(ftruncate(wire.memory_fd(), static_cast<off_t>(wire.size()) + 4096) < 0);
    CHECK(errno == EPERM);
}

TEST_CASE("the arena is as large as was wished for, in whole blocks, and no larger than the daemon allows")
{
    const Daemon daemon({{"--max-arena-bytes", "1048576"}, 0, "debug"});
    const std::string path = daemon.place().socket_path();
    CHECK(MemoryWire(path).sizes().receive_arena == 1 << 20);
    CHECK(MemoryWire(path, ARENA_BLOCK + 1).sizes().receive_arena == 2 * ARENA_BLOCK);
    CHECK(MemoryWire(path, 512 << 20).sizes().receive_arena == 1 << 20);
    CHECK(MemoryWire(path, 0xffffffff).sizes().send_arena == 1 << 20);
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("a payload in the arena goes out as it is, and is released when it is sent")
{
    const Daemon daemon;
    MemoryWire wire(daemon.place().socket_path());
    const PeerListener listener;
    const int64_t handle = wire.connect(listener.port());
    const Peer peer = listener.accept();
    const std::string bytes = pattern(60'000);
    memcpy(wire.map().send_arena + ARENA_BLOCK, bytes.data(), bytes.size());
    wire.send(in_arena(plain_frame(FRAME_WRITE, 5, handle), ARENA_BLOCK, 60'000));
    CHECK((peer.receive(bytes.size()) == bytes));
    bool released = false;
    bool answered = false;
    while (!released || !answered) {
        const auto reply = wire.receive();
        REQUIRE(reply);
        if (reply->header.opcode == FRAME_RELEASE) {
            CHECK_FALSE(released);
            CHECK(reply->header.payload_offset == ARENA_BLOCK);
            CHECK(reply->header.payload_length == 60'000);
            released = true;
        } else {
            CHECK(reply->header.opcode == FRAME_WRITE);
            CHECK(reply->header.value == 60'000);
            answered = true;
        }
    }
}

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

TEST_CASE("a payload that lies outside of the arena drops the session")
{
    const uint32_t size = 16 << 20;
    for (const auto &[offset, length] : {std::pair<uint32_t, uint32_t>(size, 1),
                                         {size - 64, 65},
                                         {0xffffffc0, 64},
                                         {0xffffffc0, 1000},
                                         {0x80000000, 64}}) {
        CAPTURE(offset, length);
        check_dropped([offset = offset, length = length, size](MemoryWire &wire) {
            REQUIRE(wire.sizes().send_arena == size);
            wire.send(in_arena(plain_frame(FRAME_WRITE, 1, 1), offset, length));
        });
    }
}

TEST_CASE("a release of something that is not held drops the session")
{
    const uint32_t size = 16 << 20;
    for (const auto &[offset, length] : {std::pair<uint32_t, uint32_t>(0, 64),
                                         {0, 0},
                                         {64, 1},
                                         {1, 64},
                                         {ARENA_BLOCK - 64, 65},
                                         {0, ARENA_BLOCK + 1},
                                         {size, 64},
                                         {0xffffffc0, 64},
                                         {0, 0xffffffff}}) {
        CAPTURE(offset, length);
        check_dropped([offset = offset, length = length](MemoryWire &wire) { wire.release(offset, length); });
    }
}

TEST_CASE("a second release of the same payloads drops the session")
{
    check_dropped([](MemoryWire &wire) {
        const frame held = receive_into_arena(wire);
        // However many payloads share its block: one of these releases is one too many.
        for (uint32_t i = 0; i <= ARENA_BLOCK / ARENA_ALIGNMENT && !wire.is_dropped(std::chrono::milliseconds(0));
             i++) {
            if (!wire.put(in_arena(plain_frame(FRAME_RELEASE), held.payload_offset, held.payload_length))) {
                break;
            }
        }
        wire.publish();
    });
}

TEST_CASE("a release from a client that says it is a reply, or names no arena, drops the session")
{
    check_dropped([](MemoryWire &wire) {
        WireFrame frame = in_arena(plain_frame(FRAME_RELEASE), 0, 64);
        frame.header.flags |= FRAME_REPLY;
        wire.send(frame);
    });
    check_dropped([](MemoryWire &wire) {
        WireFrame frame = plain_frame(FRAME_RELEASE);
        frame.payload = "payload";
        wire.send(frame);
    });
}

TEST_CASE("credit of nothing, less than nothing or more than the most drops the session")
{
    for (const int64_t credit : {int64_t{0}, int64_t{-1}, INT64_MIN, int64_t{FRAME_CREDIT_MAX} + 1, INT64_MAX}) {
        CAPTURE(credit);
        check_dropped([&](MemoryWire &wire) {
            const PeerListener listener;
            wire.send(plain_frame(FRAME_READ, 0, wire.connect(listener.port()), credit));
            CHECK(wire.is_dropped());
        });
    }
    check_dropped([](MemoryWire &wire) {
        const PeerListener listener;
        const int64_t handle = wire.connect(listener.port());
        wire.send(plain_frame(FRAME_READ, 0, handle, FRAME_CREDIT_MAX));
        REQUIRE(wire.is_served());
        wire.send(plain_frame(FRAME_READ, 0, handle, 1));
        CHECK(wire.is_dropped());
    });
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

TEST_CASE("a client that takes no data that it has granted credit for is bounded")
{
    const Daemon daemon;
    MemoryWire greedy(daemon.place().socket_path(), 1 << 20);
    const Wire good(daemon.place().socket_path());
    good.hello();
    const size_t before = resident_bytes_of(daemon.pid());
    const PeerListener listener;
    std::vector<Peer> peers;
    for (int i = 0; i < 8; i++) {
        const int64_t handle = greedy.connect(listener.port());
        peers.push_back(listener.accept());
        greedy.send(plain_frame(FRAME_READ, 0, handle, FRAME_CREDIT_MAX));
    }
    for (const Peer &peer : peers) {
        peer.send_until_full(32 << 20);
    }
    CHECK(good.is_served());
    CHECK(resident_bytes_of(daemon.pid()) < before + (8 << 20));
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
    std::chrono::microseconds longest{0};
    for (int i = 0; i < 20; i++) {
        bad.ring_daemon();
        bool served = false;
        longest = std::max(longest, time_of([&] { served = good.is_served(); }));
        CHECK(served);
    }
    stop = true;
    changer.join();
    CHECK(longest < std::chrono::milliseconds(500));
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
