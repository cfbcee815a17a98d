// An arena under load: one side allocates, the other checks what it gets, holds on to some, and gives back in any
// order.
#include "tests/unit/proto/two_sides.h"

#include <cstring>
#include <vector>

extern "C" {
#include "proto/arena.h"
}

using namespace two_sides;

namespace
{

enum { BLOCKS = 32, SIZE = BLOCKS * ARENA_BLOCK, MILLISECONDS = 900, HELD_MAX = 40 };

// What goes through the rings: there, that it is filled; back, that it is not needed any more.
struct Notice {
    uint64_t number;
    uint32_t offset;
    uint32_t size; // 0: the last one
};

void put(const Line &line, ring_producer *ring, const Notice &notice)
{
    uint8_t *room;
    while (!(room = ring_reserve(ring, sizeof notice))) {
        if (ring_publish(ring))
            line.to_consumer.ring();
        if (ring_wait_for_room(ring))
            line.to_producer.wait();
    }
    memcpy(room, &notice, sizeof notice);
    ring_commit(ring, sizeof notice);
    if (ring_publish(ring))
        line.to_consumer.ring();
}

// False: there is none, or with `wait`, none came.
bool take(const Line &line, ring_consumer *ring, Notice *notice, bool wait)
{
    const uint8_t *record;
    uint32_t size;
    int status;
    while ((status = ring_next(ring, &record, &size)) == RING_EMPTY) {
        if (!wait || (ring_sleep(ring) && !line.to_consumer.wait()))
            return false;
    }
    if (status != RING_RECORD || size != sizeof *notice)
        return false;
    memcpy(notice, record, sizeof *notice);
    if (ring_release(ring))
        line.to_producer.ring();
    return true;
}

struct Stage {
    Memory bytes{SIZE};
    Line there{16 * 1024};
    Line back{64 * 1024};
};

bool fill_payloads(const Stage &stage, uint64_t *count)
{
    arena books;
    if (arena_init(&books, stage.bytes.at(0), SIZE) != 0)
        return false;
    ring_producer there = stage.there.producer();
    ring_consumer back = stage.back.consumer();
    Random random(1);
    Deadline deadline(MILLISECONDS);
    Notice released;
    bool fine = true;
    for (*count = 0; fine && !(*count % 64 == 0 && deadline.is_over()); ++*count) {
        uint32_t size = 1 + random.below(random.below(16) == 0 ? ARENA_BLOCK : 5000);
        uint32_t available;
        while (take(stage.back, &back, &released, false))
            fine = fine && arena_release(&books, released.offset, released.size);
        uint8_t *room;
        while (fine && !(room = arena_room(&books, size, &available))) {
            fine = take(stage.back, &back, &released, true) && arena_release(&books, released.offset, released.size);
        }
        if (!fine)
            break;
        fill(room, size, *count);
        put(stage.there, &there, {*count, arena_commit(&books, size), size});
    }
    put(stage.there, &there, {0, 0, 0});
    while (fine && books.held > 0)
        fine = take(stage.back, &back, &released, true) && arena_release(&books, released.offset, released.size);
    arena_deinit(&books);
    return fine;
}

bool check_payloads(const Stage &stage)
{
    ring_consumer there = stage.there.consumer();
    ring_producer back = stage.back.producer();
    Random random(2);
    std::vector<Notice> held;
    auto give_back_one = [&] {
        size_t index = random.below(static_cast<uint32_t>(held.size()));
        std::swap(held[index], held.back());
        const Notice &notice = held.back();
        bool intact = is_filled(stage.bytes.at(notice.offset), notice.size, notice.number);
        put(stage.back, &back, notice);
        held.pop_back();
        return intact;
    };
    for (uint64_t number = 0;; number++) {
        Notice notice;
        if (!take(stage.there, &there, &notice, true))
            return false;
        if (notice.size == 0)
            break;
        if (notice.number != number)
            return false;
        held.push_back(notice);
        while (held.size() > random.below(HELD_MAX)) {
            if (!give_back_one())
                return false;
        }
    }
    while (!held.empty()) {
        if (!give_back_one())
            return false;
    }
    return true;
}

} // namespace

TEST_CASE("payloads stay intact in another process until they are given back")
{
    Stage stage;
    uint64_t count = 0;
    run_in_processes([&] { return fill_payloads(stage, &count); }, [&] { return check_payloads(stage); });
    CHECK(count > 1000);
}

TEST_CASE("payloads stay intact in another thread until they are given back")
{
    Stage stage;
    uint64_t count = 0;
    run_in_threads([&] { return fill_payloads(stage, &count); }, [&] { return check_payloads(stage); });
    CHECK(count > 1000);
}
