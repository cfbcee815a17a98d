#include <catch2/catch.hpp>

extern "C" {
#include "proto/ring.h"
}

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>

namespace
{

// A ring and both of its sides.
struct Ring {
    explicit Ring(uint32_t size = RING_SIZE_MIN) : data(new uint64_t[size / 8]())
    {
        ring_producer_init(&producer, &shared, bytes(), size);
        ring_consumer_init(&consumer, &shared, bytes(), size);
    }

    uint8_t *bytes()
    {
        return reinterpret_cast<uint8_t *>(data.get());
    }

    // As if so many bytes had gone through before.
    void start_at(uint32_t position)
    {
        shared.head = shared.tail = position;
        producer.head = producer.published = producer.tail = position;
        consumer.head = consumer.released = consumer.tail = position;
    }

    bool put(const std::string &record)
    {
        uint8_t *room = ring_reserve(&producer, static_cast<uint32_t>(record.size()));
        if (!room)
            return false;
        memcpy(room, record.data(), record.size());
        ring_commit(&producer, static_cast<uint32_t>(record.size()));
        return true;
    }

    // The next record; "(empty)" or "(broken)" if there is none.
    std::string take()
    {
        const uint8_t *record;
        uint32_t size;
        switch (ring_next(&consumer, &record, &size)) {
        case RING_RECORD:
            return {reinterpret_cast<const char *>(record), size};
        case RING_EMPTY:
            return "(empty)";
        default:
            return "(broken)";
        }
    }

    // Overwrites what lies at the offset, as a hostile producer may.
    void scribble(uint32_t offset, uint32_t value)
    {
        memcpy(bytes() + offset, &value, sizeof value);
    }

    std::unique_ptr<uint64_t[]> data;
    // Not in place: on the stack of a build with AddressSanitizer nothing is aligned to 64.
    std::unique_ptr<ring_shared> own = std::make_unique<ring_shared>();
    ring_shared &shared = *own;
    ring_producer producer;
    ring_consumer consumer;
};

} // namespace

TEST_CASE("a ring gives back the records that were put in, in order")
{
    std::mt19937 random(7);
    std::deque<std::string> model;
    Ring ring;
    SECTION("from the beginning")
    {
    }
    SECTION("where positions wrap around")
    {
        ring.start_at(0u - 5 * RING_SIZE_MIN);
    }
    for (int step = 0; step < 50000; step++) {
        if (random() % 2) {
            std::string record(random() % (ring_record_max(RING_SIZE_MIN) / (random() % 40 + 1) + 1),
                               static_cast<char>(random()));
            if (ring.put(record))
                model.push_back(record);
            ring_publish(&ring.producer);
        } else {
            REQUIRE(ring.take() == (model.empty() ? "(empty)" : model.front()));
            if (!model.empty())
                model.pop_front();
            if (random() % 2)
                ring_release(&ring.consumer);
        }
    }
}

TEST_CASE("a record is seen when it is published, and not before")
{
    Ring ring;
    REQUIRE(ring.put("one"));
    CHECK(ring.take() == "(empty)");
    ring_publish(&ring.producer);
    CHECK(ring.take() == "one");
    CHECK(ring.take() == "(empty)");
}

TEST_CASE("a record may be shorter than the room that was reserved, and empty")
{
    Ring ring;
    uint8_t *room = ring_reserve(&ring.producer, 1000);
    REQUIRE(room);
    memcpy(room, "abc", 3);
    ring_commit(&ring.producer, 3);
    REQUIRE(ring.put(""));
    REQUIRE(ring.put("def"));
    ring_publish(&ring.producer);
    CHECK(ring.take() == "abc");
    CHECK(ring.take().empty());
    CHECK(ring.take() == "def");
}

TEST_CASE("a full ring takes nothing until the consumer releases what it has taken")
{
    Ring ring;
    size_t count = 0;
    while (ring.put(std::string(100, 'x')))
        count++;
    CHECK(count == RING_SIZE_MIN / 112);
    ring_publish(&ring.producer);
    CHECK(ring.take().size() == 100);
    CHECK(!ring.put(std::string(100, 'y')));
    ring_release(&ring.consumer);
    CHECK(ring.put(std::string(100, 'y')));
}

TEST_CASE("an empty ring takes the longest record wherever the last one ended")
{
    Ring ring;
    for (uint32_t offset = 0; offset < RING_SIZE_MIN; offset += 8) {
        ring.start_at(offset);
        std::string longest(ring_record_max(RING_SIZE_MIN), 'z');
        REQUIRE(ring.put(longest));
        ring_publish(&ring.producer);
        REQUIRE(ring.take() == longest);
    }
}

TEST_CASE("the producer is told to ring for a consumer that sleeps, once")
{
    Ring ring;
    ring.put("one");
    CHECK(!ring_publish(&ring.producer));
    ring.take();
    REQUIRE(ring_sleep(&ring.consumer));
    CHECK(!ring_publish(&ring.producer)); /* nothing new */
    ring.put("two");
    CHECK(ring_publish(&ring.producer));
    ring.put("three");
    CHECK(!ring_publish(&ring.producer));
}

TEST_CASE("a consumer for whom there is a record is not let sleep")
{
    Ring ring;
    ring.put("one");
    ring_publish(&ring.producer);
    CHECK(!ring_sleep(&ring.consumer));
    ring.put("two");
    CHECK(!ring_publish(&ring.producer)); /* it did not sleep */
}

TEST_CASE("the consumer is told to ring for a producer that waits for room, once")
{
    Ring ring;
    while (ring.put(std::string(100, 'x'))) {
    }
    ring_publish(&ring.producer);
    REQUIRE(ring_wait_for_room(&ring.producer));
    CHECK(!ring_release(&ring.consumer)); /* nothing taken */
    ring.take();
    CHECK(ring_release(&ring.consumer));
    ring.take();
    CHECK(!ring_release(&ring.consumer));
    CHECK(!ring_wait_for_room(&ring.producer)); /* there is room by now */
}

TEST_CASE("a consumer finds a ring broken in which the producer wrote nonsense")
{
    Ring ring;
    ring.put(std::string(100, 'x'));
    SECTION("a position further than the ring is long")
    {
        ring.shared.head = RING_SIZE_MIN + 8;
    }
    SECTION("a position behind the consumer's")
    {
        ring.shared.head = 0u - 8;
    }
    SECTION("a position within a prefix")
    {
        ring.shared.head = 4;
    }
    SECTION("a record that is longer than what was published")
    {
        ring.shared.head = 64;
    }
    SECTION("a record that is longer than the ring")
    {
        ring.scribble(0, RING_SIZE_MAX);
        ring.shared.head = RING_SIZE_MIN;
    }
    SECTION("a length that wraps around when it is padded")
    {
        ring.scribble(0, 0x7fffffff);
        ring.shared.head = RING_SIZE_MIN;
    }
    SECTION("a record that runs over the end of the ring")
    {
        ring.start_at(RING_SIZE_MIN - 16);
        ring.scribble(RING_SIZE_MIN - 16, 100);
        ring.shared.head = RING_SIZE_MIN - 16 + 112;
    }
    CHECK(ring.take() == "(broken)");
    CHECK(!ring_sleep(&ring.consumer));
}

TEST_CASE("a consumer survives random bytes in the ring")
{
    std::mt19937 random(11);
    for (int round = 0; round < 2000; round++) {
        Ring ring;
        for (uint32_t i = 0; i < RING_SIZE_MIN; i += 4)
            ring.scribble(i, random() % 4 ? random() % 64 : random());
        ring.shared.head = static_cast<uint32_t>(random() % (RING_SIZE_MIN + 64));
        for (int records = 0; records < 1000; records++) {
            std::string record = ring.take();
            if (record == "(broken)" || record == "(empty)")
                break;
            REQUIRE(record.size() <= RING_SIZE_MIN);
        }
    }
}

TEST_CASE("a producer has no room in a ring whose consumer wrote nonsense")
{
    Ring ring;
    while (ring.put(std::string(100, 'x'))) {
    }
    ring_publish(&ring.producer);
    ring.shared.tail = GENERATE(8u + RING_SIZE_MIN, 0x80000000u, 0u - RING_SIZE_MIN);
    CHECK(!ring.put(std::string(100, 'y')));
}
