#include <catch2/catch.hpp>

extern "C" {
#include "proto/arena.h"
#include "tests/unit/client/lane/memory_pair.h"
}

#include "tests/support/skip.h"

#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace
{

enum { BLOCKS = 8, RING = 64 * 1024 };

struct Pair {
    Pair()
    {
        const memory_sizes sizes{RING, RING, BLOCKS * ARENA_BLOCK, BLOCKS * ARENA_BLOCK};
        pair = memory_pair_new(&sizes);
        REQUIRE(pair != nullptr);
    }
    ~Pair()
    {
        memory_pair_free(pair);
    }
    Pair(const Pair &) = delete;
    Pair &operator=(const Pair &) = delete;

    void write(int64_t id, const std::string &bytes)
    {
        frame f{};
        f.opcode = FRAME_WRITE;
        f.request_id = id;
        REQUIRE(memory_pair_request(pair, &f, bytes.data(), bytes.size()));
    }

    // The next request at the daemon; opcode 0 if there is none. Its payload is in `payload`.
    frame take()
    {
        std::vector<uint8_t> bytes(ARENA_BLOCK);
        frame f{};
        if (!memory_pair_take(pair, &f, bytes.data()))
            return frame{};
        payload.assign(reinterpret_cast<char *>(bytes.data()), f.opcode == FRAME_RELEASE ? 0 : f.payload_length);
        return f;
    }

    // The daemon gives the payload of a write back.
    void give_back(const frame &write)
    {
        frame f{};
        f.opcode = FRAME_RELEASE;
        f.flags = FRAME_REPLY | FRAME_IN_ARENA;
        f.payload_length = write.payload_length;
        f.payload_offset = write.payload_offset;
        REQUIRE(memory_pair_reply(pair, &f, nullptr));
    }

    // What the client finds: "" for nothing, else the bytes of the message, or the fault.
    std::string next()
    {
        const char *fault = nullptr;
        message = lane_message{};
        switch (memory_pair_next(pair, &message, &fault)) {
        case LANE_EMPTY:
            return "";
        case LANE_FAULT:
            return fault;
        default:
            return message.data ? std::string(reinterpret_cast<char *>(message.data->bytes), message.data->length)
                                : "(no data)";
        }
    }

    // A record with a header that the test has made up.
    std::string fault_of(const frame &f, size_t size = FRAME_HEADER_SIZE)
    {
        std::vector<uint8_t> record(std::max<size_t>(size, FRAME_HEADER_SIZE));
        frame_encode(&f, record.data());
        REQUIRE(memory_pair_put_record(pair, record.data(), size));
        return next();
    }

    memory_pair *pair;
    std::string payload;
    lane_message message{};
};

// Long writes, as the daemon puts them together.
std::string take_long(Pair &pair, int64_t id, bool *in_arena)
{
    std::string whole;
    for (;;) {
        frame f = pair.take();
        REQUIRE(f.opcode == FRAME_WRITE);
        REQUIRE(f.request_id == id);
        REQUIRE(f.payload_length <= ARENA_BLOCK);
        whole += pair.payload;
        *in_arena = f.flags & FRAME_IN_ARENA;
        if (!(f.flags & FRAME_MORE))
            return whole;
    }
}

std::string text_of(size_t size, unsigned seed)
{
    std::string text(size, '\0');
    for (size_t i = 0; i < size; i++)
        text[i] = static_cast<char>(seed * 31 + i * 7 + (i >> 8));
    return text;
}

// What the client has mapped of the memory: the daemon's mapping is one of the whole.
size_t mapped_bytes()
{
    std::ifstream maps("/proc/self/maps");
    size_t sum = 0;
    for (std::string line; std::getline(maps, line);) {
        if (line.find("memfd:oche-test") == std::string::npos)
            continue;
        size_t end_of_begin = 0;
        const unsigned long long begin = std::stoull(line, &end_of_begin, 16);
        sum += std::stoull(line.substr(end_of_begin + 1), nullptr, 16) - begin;
    }
    return sum - (MEMORY_CONTROL_SIZE + 2 * RING + 2 * BLOCKS * ARENA_BLOCK);
}

} // namespace

TEST_CASE("a short payload rides in the ring, a longer one lies in the arena")
{
    Pair pair;
    pair.write(1, text_of(MEMORY_INLINE_MAX, 1));
    pair.write(2, text_of(MEMORY_INLINE_MAX + 1, 2));
    pair.write(3, "");
    CHECK(pair.take().flags == 0);
    CHECK(pair.payload == text_of(MEMORY_INLINE_MAX, 1));
    CHECK(pair.take().flags == FRAME_IN_ARENA);
    CHECK(pair.payload == text_of(MEMORY_INLINE_MAX + 1, 2));
    CHECK(pair.take().request_id == 3);
    CHECK(pair.payload.empty());
}

TEST_CASE("a write that fits neither the arena nor the ring arrives whole, bit by bit")
{
    Pair pair;
    const std::string first = text_of(BLOCKS * ARENA_BLOCK, 1), second = text_of(300000, 2);
    bool in_arena = false;
    pair.write(1, first);
    pair.write(2, second); // the arena is full
    pair.write(3, "behind it");
    CHECK(memory_pair_waiting(pair.pair) > 0);
    CHECK(take_long(pair, 1, &in_arena) == first);
    CHECK(in_arena);
    std::string taken;
    for (bool more = true; more;) {
        frame f = pair.take();
        if (f.opcode == 0) {
            REQUIRE(memory_pair_has_rung(pair.pair)); // for there is room now
            memory_pair_flush(pair.pair);
            continue;
        }
        REQUIRE(f.request_id == 2);
        CHECK_FALSE(f.flags & FRAME_IN_ARENA);
        taken += pair.payload;
        more = f.flags & FRAME_MORE;
    }
    CHECK(taken == second);
    memory_pair_flush(pair.pair);
    CHECK(pair.take().request_id == 3);
    CHECK(pair.payload == "behind it");
    CHECK(memory_pair_waiting(pair.pair) == 0);
}

TEST_CASE("the send arena is used again when the daemon has given payloads back")
{
    Pair pair;
    const std::string block = text_of(ARENA_BLOCK, 3);
    for (int i = 0; i < 3 * BLOCKS; i++) {
        pair.write(i, block);
        frame f = pair.take();
        REQUIRE(f.flags == FRAME_IN_ARENA);
        REQUIRE(pair.payload == block);
        pair.give_back(f);
        REQUIRE(pair.next().empty());
    }
}

TEST_CASE("a write goes through the ring where the arena cannot be mapped")
{
    Pair pair;
    if (!memory_pair_end_mapping(pair.pair)) {
        SKIP("this system has no F_SEAL_FUTURE_WRITE");
    }
    const std::string text = text_of(50000, 3);
    bool in_arena = true;
    pair.write(1, text);
    CHECK(take_long(pair, 1, &in_arena) == text);
    CHECK_FALSE(in_arena);
}

TEST_CASE("data is copied out where the arena cannot be mapped, and its room given back")
{
    Pair pair;
    if (!memory_pair_end_mapping(pair.pair)) {
        SKIP("this system has no F_SEAL_FUTURE_WRITE");
    }
    for (unsigned i = 0; i < 3 * BLOCKS; i++) {
        const std::string text = text_of(200000, i);
        REQUIRE(memory_pair_send_data(pair.pair, 77, text.data(), 200000));
        REQUIRE(pair.next() == text);
        CHECK(pair.message.data->region == nullptr);
        memory_pair_give_back(pair.pair, pair.message.data);
        memory_pair_done(pair.pair);
        frame f = pair.take();
        REQUIRE(f.opcode == FRAME_RELEASE);
        REQUIRE(memory_pair_released(pair.pair, &f));
    }
}

TEST_CASE("an arena takes address space when it is used, and a little at first")
{
    Pair pair;
    const size_t rings = MEMORY_CONTROL_SIZE + 2 * RING;
    CHECK(mapped_bytes() == rings);
    pair.write(1, text_of(5000, 1));
    CHECK(mapped_bytes() == rings + ARENA_BLOCK);
    REQUIRE(memory_pair_send_data(pair.pair, 77, text_of(5000, 2).data(), 5000));
    REQUIRE(pair.next() == text_of(5000, 2));
    CHECK(mapped_bytes() == rings + 2 * ARENA_BLOCK);
    memory_pair_give_back(pair.pair, pair.message.data);
    pair.write(2, text_of((BLOCKS - 1) * ARENA_BLOCK, 3));
    CHECK(mapped_bytes() == rings + (BLOCKS + 1) * ARENA_BLOCK);
}

TEST_CASE("the pages that a write is copied to exist before that")
{
    Pair pair;
    const size_t before = memory_pair_pages(pair.pair);
    pair.write(1, text_of(5000, 1));
    CHECK(memory_pair_pages(pair.pair) >= before + 8192);
    CHECK(memory_pair_pages(pair.pair) <= before + 65536); // and few more
}

TEST_CASE("data in the receive arena stays where it is until it is given back")
{
    Pair pair;
    const std::string text = text_of(50000, 4);
    REQUIRE(memory_pair_send_data(pair.pair, 77, text.data(), 50000));
    REQUIRE(pair.next() == text);
    CHECK(pair.message.data->region != nullptr);
    CHECK(pair.message.frame.handle == 77);
    CHECK(pair.message.frame.flags == FRAME_REPLY);
    memory_pair_give_back(pair.pair, pair.message.data);
    pair.write(1, "x"); // takes the release along
    CHECK(pair.take().opcode == FRAME_WRITE);
    frame f = pair.take();
    CHECK(f.opcode == FRAME_RELEASE);
    CHECK(memory_pair_released(pair.pair, &f));
}

TEST_CASE("data outlives the lane that it came through")
{
    Pair pair;
    const std::string text = text_of(50000, 5);
    REQUIRE(memory_pair_send_data(pair.pair, 77, text.data(), 50000));
    REQUIRE(pair.next() == text);
    memory_pair_detach(pair.pair);
    CHECK(memcmp(pair.message.data->bytes, text.data(), text.size()) == 0);
    memory_pair_give_back(pair.pair, pair.message.data);
}

TEST_CASE("an application that holds on to everything never keeps the daemon from receiving")
{
    Pair pair;
    const uint32_t size = GENERATE(5000u, 20000u, 65536u);
    std::vector<data *> held;
    std::vector<unsigned> seeds;
    for (unsigned i = 0; i < 40 * BLOCKS; i++) {
        const std::string text = text_of(size, i);
        REQUIRE(memory_pair_send_data(pair.pair, 1, text.data(), size));
        REQUIRE(pair.next() == text);
        held.push_back(pair.message.data);
        memory_pair_done(pair.pair);
        for (frame f; (f = pair.take()).opcode != 0;) {
            REQUIRE(f.opcode == FRAME_RELEASE);
            REQUIRE(memory_pair_released(pair.pair, &f));
        }
    }
    for (unsigned i = 0; i < held.size(); i++) {
        REQUIRE(memcmp(held[i]->bytes, text_of(size, i).data(), size) == 0);
        memory_pair_give_back(pair.pair, held[i]);
    }
}

TEST_CASE("a sleeping client is woken by the next record, and not let sleep over one")
{
    Pair pair;
    frame f{};
    f.opcode = FRAME_CLOSE;
    f.flags = FRAME_REPLY;
    CHECK(memory_pair_sleep(pair.pair));
    REQUIRE(memory_pair_reply(pair.pair, &f, nullptr));
    CHECK(memory_pair_has_rung(pair.pair));
    REQUIRE(memory_pair_reply(pair.pair, &f, nullptr));
    CHECK_FALSE(memory_pair_has_rung(pair.pair));
    CHECK_FALSE(memory_pair_sleep(pair.pair));
}

TEST_CASE("what no correct daemon puts into the ring is a fault")
{
    Pair pair;
    frame f{};
    f.opcode = FRAME_READ;
    f.flags = FRAME_REPLY | FRAME_IN_ARENA;
    f.payload_length = 100;
    size_t size = FRAME_HEADER_SIZE;
    SECTION("a record without a whole header")
    {
        size = FRAME_HEADER_SIZE - 1;
    }
    SECTION("an unknown opcode")
    {
        f.opcode = 999;
    }
    SECTION("a record that is longer than its frame")
    {
        size = FRAME_HEADER_SIZE + 8;
    }
    SECTION("a record that is shorter than its frame")
    {
        f.flags = FRAME_REPLY;
    }
    SECTION("a payload behind the arena")
    {
        f.payload_offset = BLOCKS * ARENA_BLOCK;
    }
    SECTION("a payload far behind the arena")
    {
        f.payload_offset = 0xffffffff;
    }
    SECTION("a payload over the end of a block")
    {
        f.payload_offset = ARENA_BLOCK - 50;
    }
    SECTION("a payload in the arena that is longer than a block")
    {
        f.payload_length = ARENA_BLOCK + 1;
    }
    SECTION("an empty payload in the arena")
    {
        f.payload_length = 0;
    }
    SECTION("a release of what was never sent")
    {
        f.opcode = FRAME_RELEASE;
    }
    SECTION("a release that is none")
    {
        f.opcode = FRAME_RELEASE;
        f.flags = FRAME_REPLY;
        size += 100;
    }
    CHECK_FALSE(pair.fault_of(f, size).empty());
    CHECK(pair.message.data == nullptr);
}

TEST_CASE("a client survives a daemon that scribbles over all that they share")
{
    std::mt19937 random(13);
    const std::string text = text_of(100'000, 2);
    for (int round = 0; round < 300; round++) {
        Pair pair;
        size_t size;
        uint8_t *bytes = memory_pair_bytes(pair.pair, &size);
        for (int i = 0; i < 50; i++)
            REQUIRE(memory_pair_send_data(pair.pair, 1, text.data(), 8000));
        const size_t rings = MEMORY_CONTROL_SIZE + 2 * RING;
        for (int i = 0; i < 200; i++)
            bytes[random() % (random() % 2 ? 256 : rings)] = static_cast<uint8_t>(random());
        std::vector<data *> held;
        for (int step = 0; step < 200; step++) {
            const char *fault = nullptr;
            lane_message message{};
            const int status = memory_pair_next(pair.pair, &message, &fault);
            if (message.data)
                held.push_back(message.data);
            if (status == LANE_FAULT)
                break;
            memory_pair_done(pair.pair);
            pair.write(step, text.substr(0, random() % text.size()));
            bytes[random() % rings] = static_cast<uint8_t>(random());
            if (random() % 4 == 0 && !held.empty()) {
                memory_pair_give_back(pair.pair, held.back());
                held.pop_back();
            }
        }
        memory_pair_detach(pair.pair);
        for (data *one : held)
            memory_pair_give_back(pair.pair, one);
    }
}
