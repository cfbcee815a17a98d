// The arenas of a session's shared memory, as the daemon makes them, and what it does with clients that abuse them:
// each loses its own session, with one line in the log, and nobody else notices.
#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/memory_wire.h"
#include "tests/support/misconduct.h"
#include "tests/support/text.h"

extern "C" {
#include "proto/arena.h"
}

using namespace test_support;

namespace
{
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

TEST_CASE("the pages of the rings exist before anybody touches them, and those of the arenas do not")
{
    const Daemon daemon;
    const MemoryWire wire(daemon.place().socket_path());
    struct stat status = {};
    REQUIRE(fstat(wire.memory_fd(), &status) == 0);
    const size_t rings = MEMORY_CONTROL_SIZE + wire.sizes().request_ring + wire.sizes().reply_ring;
    const size_t pages = static_cast<size_t>(status.st_blocks) * 512;
    CHECK(pages >= rings);
    CHECK(pages < rings + wire.sizes().receive_arena);
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

TEST_CASE("a quiet write through the arena wakes the client as rarely as one through the ring")
{
    const Daemon daemon;
    MemoryWire wire(daemon.place().socket_path());
    const PeerListener listener;
    const int64_t handle = wire.connect(listener.port());
    const Peer peer = listener.accept();
    const std::string bytes = pattern(5000);
    const auto begin = Clock::now();
    const unsigned writes = 200;
    size_t rings = 0;
    for (unsigned i = 0; i < writes; i++) {
        char rung[64];
        store(wire.map().reply_control->consumer_sleeps, 1);
        memcpy(wire.map().send_arena, bytes.data(), bytes.size());
        WireFrame write = in_arena(plain_frame(FRAME_WRITE, 5, handle), 0, 5000);
        write.header.flags |= FRAME_QUIET;
        wire.send(write);
        REQUIRE((peer.receive(bytes.size()) == bytes));
        const ssize_t count = read(wire.own_bell(), rung, sizeof rung);
        rings += count > 0 ? static_cast<size_t>(count) : 0;
    }
    // Once for 64 answers, or every ten milliseconds, and for what was on its way.
    const auto tens = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count() / 10;
    CHECK(rings <= writes / 64 + static_cast<size_t>(tens) + 2);
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
