// A ring under load, with both sides asleep as often as they can be: records arrive unchanged and in order, and no
// wake-up is lost.
#include "tests/unit/proto/two_sides.h"

using namespace two_sides;

namespace
{

enum { SIZE = 16 * 1024, RECORD_MAX = 600, MILLISECONDS = 900 };

// Puts records, of which the consumer can tell number and size, until the time is over; then an empty one.
bool produce(const Line &line, uint64_t *count)
{
    ring_producer ring = line.producer();
    Random random(1);
    Deadline deadline(MILLISECONDS);
    for (*count = 0;; ++*count) {
        bool last = *count % 256 == 0 && deadline.is_over();
        uint32_t size = last ? 0 : 8 + random.below(RECORD_MAX);
        uint8_t *room;
        while (!(room = ring_reserve(&ring, size))) {
            if (ring_publish(&ring))
                line.to_consumer.ring();
            if (ring_wait_for_room(&ring) && !line.to_producer.wait())
                return false;
        }
        fill(room, size, *count);
        ring_commit(&ring, size);
        if (last || random.below(8) == 0) {
            if (ring_publish(&ring))
                line.to_consumer.ring();
        }
        if (last)
            return true;
    }
}

bool consume(const Line &line)
{
    ring_consumer ring = line.consumer();
    Random random(2), sizes(1);
    for (uint64_t number = 0;; number++) {
        const uint8_t *record;
        uint32_t size;
        int status;
        while ((status = ring_next(&ring, &record, &size)) == RING_EMPTY) {
            if (ring_release(&ring))
                line.to_producer.ring();
            if (ring_sleep(&ring) && !line.to_consumer.wait())
                return false;
        }
        if (status != RING_RECORD)
            return false;
        if (size == 0)
            return true;
        if (!is_filled(record, size, number))
            return false;
        if (random.below(8) == 0 && ring_release(&ring))
            line.to_producer.ring();
    }
}

} // namespace

TEST_CASE("records pass from one process to another unchanged and in order")
{
    Line line(SIZE);
    uint64_t count = 0;
    run_in_processes([&] { return produce(line, &count); }, [&] { return consume(line); });
    CHECK(count > 1000);
}

TEST_CASE("records pass from one thread to another unchanged and in order")
{
    Line line(SIZE);
    uint64_t count = 0;
    run_in_threads([&] { return produce(line, &count); }, [&] { return consume(line); });
    CHECK(count > 1000);
}
