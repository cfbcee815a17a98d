// Room for what is to be received: reserved, and committed or given back.

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/lane/lane.h"
#include "proto/arena.h"
#include "proto/memory.h"
}

#include "tests/support/skip.h"
#include "tests/unit/daemon/loop.h"

#include <array>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace test_support;

namespace
{

const memory_sizes sizes = {64 * 1024, 64 * 1024, 4 * ARENA_BLOCK, ARENA_BLOCK};

struct Arrival {
    frame header;
    std::string payload;
};

// A lane, and the other end of it.
class Session
{
  public:
    Session(Loop &loop, bool in_memory) : loop_(loop), in_memory_(in_memory)
    {
        int pair[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        peer_ = pair[1];
        REQUIRE(lane_init(&lane, &loop.slice, pair[0], &user, this) == 0);
        if (in_memory) {
            move_to_memory();
        }
    }
    ~Session()
    {
        lane_close(&lane);
        loop_.run_a_little();
        CHECK(is_closed_);
        lane_deinit(&lane);
        close(peer_);
        if (base_) {
            munmap(base_, memory_total(&sizes));
        }
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    // A room with that letter in it.
    lane_room filled(bool many, size_t most, char letter)
    {
        lane_room room{};
        REQUIRE(lane_reserve(&lane, many, most, &room));
        CHECK(room.size <= most);
        memset(room.data, letter, room.size);
        return room;
    }

    int commit(lane_room &room, uint32_t length)
    {
        frame header{};
        header.opcode = FRAME_READ;
        header.flags = FRAME_REPLY;
        header.value = length;
        header.payload_length = length;
        const int r = lane_commit(&lane, &room, &header);
        CHECK(room.place == LANE_ROOM_NONE);
        return r;
    }

    std::vector<Arrival> arrivals()
    {
        loop_.run_a_little();
        return in_memory_ ? from_ring() : from_socket();
    }

    ::lane lane{};

  private:
    void move_to_memory()
    {
        frame welcome{};
        welcome.opcode = FRAME_HELLO;
        welcome.flags = FRAME_REPLY;
        const char *what = nullptr;
        REQUIRE(lane_move_to_memory(&lane, &sizes, &welcome, nullptr, &what) == 0);
        char bytes[FRAME_HEADER_SIZE];
        alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
        iovec part{bytes, sizeof bytes};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        REQUIRE(recvmsg(peer_, &message, MSG_CMSG_CLOEXEC) == FRAME_HEADER_SIZE);
        int descriptors[3];
        memcpy(descriptors, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptors);
        void *mapped = mmap(nullptr, memory_total(&sizes), PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[0], 0);
        REQUIRE(mapped != MAP_FAILED);
        for (const int fd : descriptors) {
            close(fd);
        }
        base_ = static_cast<uint8_t *>(mapped);
        memory_map_init(&map_, base_, &sizes);
        ring_consumer_init(&replies_, map_.reply_control, map_.reply_ring, sizes.reply_ring);
    }

    std::vector<Arrival> from_ring()
    {
        std::vector<Arrival> found;
        const uint8_t *record = nullptr;
        uint32_t size = 0;
        while (ring_next(&replies_, &record, &size) == RING_RECORD) {
            Arrival arrival{};
            REQUIRE(frame_decode(&arrival.header, record) == 0);
            const uint8_t *payload = arrival.header.flags & FRAME_IN_ARENA
                                         ? map_.receive_arena + arrival.header.payload_offset
                                         : record + FRAME_HEADER_SIZE;
            arrival.payload.assign(payload, payload + arrival.header.payload_length);
            found.push_back(arrival);
        }
        ring_release(&replies_);
        return found;
    }

    std::vector<Arrival> from_socket() const
    {
        std::vector<Arrival> found;
        uint8_t header[FRAME_HEADER_SIZE];
        while (recv(peer_, header, sizeof header, 0) == FRAME_HEADER_SIZE) {
            Arrival arrival{};
            REQUIRE(frame_decode(&arrival.header, header) == 0);
            const size_t length = arrival.header.payload_length;
            arrival.payload.resize(length);
            REQUIRE(recv(peer_, arrival.payload.data(), length, MSG_WAITALL) == static_cast<ssize_t>(length));
            found.push_back(arrival);
        }
        return found;
    }

    static const lane_user user;

    Loop &loop_;
    bool in_memory_;
    int peer_ = -1;
    bool is_closed_ = false;
    uint8_t *base_ = nullptr;
    memory_map map_{};
    ring_consumer replies_{};
};

const lane_user Session::user = {
    [](void *, lane_message *) { return true; },
    [](void *) {},
    [](void *, const char *, int) {},
    [](void *owner) { static_cast<Session *>(owner)->is_closed_ = true; },
};

void release_all(Session &session, const std::vector<Arrival> &arrivals)
{
    for (const Arrival &arrival : arrivals) {
        if (arrival.header.flags & FRAME_IN_ARENA) {
            CHECK(lane_release(&session.lane, arrival.header.payload_offset, arrival.header.payload_length));
        }
    }
}

} // namespace

TEST_CASE("rooms that are out at the same time are committed in any order, with other frames in between")
{
    if (!has_method(ENGINE_IO_URING)) {
        SKIP("this system has no io_uring for us, and no other backend has several rooms out");
    }
    const bool in_memory = GENERATE(false, true);
    const bool many = GENERATE(false, true);
    INFO((in_memory ? "memory" : "plain") << (many ? ", many" : ", few"));
    Loop loop(ENGINE_IO_URING);
    Session session(loop, in_memory);
    lane_room first = session.filled(many, 100'000, 'a');
    lane_room second = session.filled(many, 100'000, 'b');
    lane_room third = session.filled(many, 100'000, 'c');
    const std::string texts[] = {std::string(third.size, 'c'), "said meanwhile", std::string(1, 'a')};
    CHECK(session.commit(third, third.size) == 0);
    frame between{};
    between.opcode = FRAME_READ;
    between.flags = FRAME_REPLY;
    between.payload_length = static_cast<uint32_t>(texts[1].size());
    CHECK(lane_put(&session.lane, &between, nullptr, texts[1].data()) == 0);
    lane_give_back(&session.lane, &second);
    CHECK(second.place == LANE_ROOM_NONE);
    lane_give_back(&session.lane, &second); // fine
    CHECK(session.commit(first, 1) == 0);
    const std::vector<Arrival> arrivals = session.arrivals();
    REQUIRE(arrivals.size() == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(arrivals[i].payload == texts[i]);
    }
    release_all(session, arrivals);
}

TEST_CASE("of the arena nothing stays taken but what the client has")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_IO_URING);
    INFO(engine_method_name(method));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Session session(loop, true);
    lane_room room = session.filled(true, 100'000, 'x');
    REQUIRE(room.place == LANE_ROOM_ARENA);
    const uint32_t beginning = room.offset;
    lane_give_back(&session.lane, &room);

    // A short payload travels in the ring, a longer one stays where it is and leaves the rest.
    room = session.filled(true, 100'000, 'y');
    CHECK(room.offset == beginning);
    CHECK(session.commit(room, 100) == 0);
    room = session.filled(true, 100'000, 'z');
    CHECK(room.offset == beginning);
    CHECK(session.commit(room, 5000) == 0);
    room = session.filled(true, 100'000, 'q');
    CHECK(room.offset == beginning + (5000 + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT);
    lane_give_back(&session.lane, &room);

    const std::vector<Arrival> arrivals = session.arrivals();
    REQUIRE(arrivals.size() == 2);
    CHECK(arrivals[0].payload == std::string(100, 'y'));
    CHECK(arrivals[1].payload == std::string(5000, 'z'));
    release_all(session, arrivals);
    room = session.filled(true, 100'000, 'x');
    CHECK(room.offset == beginning);
    lane_give_back(&session.lane, &room);
}

TEST_CASE("a client that is gone is sent nothing, and its rooms are given back")
{
    const auto method = GENERATE(ENGINE_EPOLL, ENGINE_IO_URING);
    const bool in_memory = GENERATE(false, true);
    INFO(engine_method_name(method) << (in_memory ? ", memory" : ", plain"));
    if (!has_method(method)) {
        SKIP("this system has no io_uring for us");
    }
    Loop loop(method);
    Session session(loop, in_memory);
    lane_room room = session.filled(true, 100'000, 'x');
    lane_finish(&session.lane);
    CHECK(session.commit(room, 1000) == 0);
    CHECK(session.arrivals().empty());
}
