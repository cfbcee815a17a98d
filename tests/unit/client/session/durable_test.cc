#include <catch2/catch.hpp>

extern "C" {
#include "client/session/durable.h"
#include "client/session/pending.h"
#include "client/session/public_handle.h"
}

#include <array>
#include <vector>

namespace
{
class Durable
{
  public:
    ~Durable()
    {
        durable_deinit(&durable);
    }

    int64_t add(int64_t wire, uint16_t port = 80)
    {
        pending_request listen{}; // its body may be empty: all fields have their defaults then
        endpoints ends{};
        ends.local.port = port;
        const durable_listener *made = durable_add(&durable, tag, &listen, wire, &ends);
        REQUIRE(made != nullptr);
        return made->handle;
    }

    const int64_t tag = public_tag_make(3, 5);
    struct durable durable = {};
};
} // namespace

TEST_CASE("a durable listener has a handle of its session that no daemon gives")
{
    Durable made;
    const int64_t handle = made.add(handle_make(1, 1));
    CHECK(public_tag(handle) == made.tag);
    CHECK(handle_generation(public_to_wire(handle)) == 0);
    CHECK(durable_find(&made.durable, handle)->handle == handle);
    CHECK(durable_find(&made.durable, made.tag | handle_make(1, 1)) == nullptr);
}

TEST_CASE("durable listeners are found by their handle and by that at the daemon")
{
    Durable made;
    const int64_t first = made.add(handle_make(1, 1)), second = made.add(handle_make(2, 1));
    CHECK(first != second);
    CHECK(durable_at(&made.durable, handle_make(1, 1))->handle == first);
    CHECK(durable_at(&made.durable, handle_make(2, 1))->handle == second);
    CHECK(durable_at(&made.durable, handle_make(3, 1)) == nullptr);
    durable_remove(&made.durable, durable_find(&made.durable, first));
    CHECK(durable_find(&made.durable, first) == nullptr);
    CHECK(durable_find(&made.durable, second) != nullptr);
}

TEST_CASE("a listener is opened again at the port that the system had chosen")
{
    Durable made;
    const int64_t handle = made.add(handle_make(1, 1), 12345);
    const durable_listener *listener = durable_find(&made.durable, handle);
    const std::vector<uint8_t> body(listener->body, listener->body + listener->body_length);
    const std::vector<uint8_t> varint{0xb9, 0x60}; // 12345
    REQUIRE(body.size() == 3);
    CHECK(std::vector<uint8_t>(body.begin() + 1, body.end()) == varint);
    CHECK(listener->entry.endpoints.local.port == 12345);
}

TEST_CASE("a durable listener is open as long as it has a handle at the daemon")
{
    Durable made;
    CHECK_FALSE(durable_is_open(&made.durable));
    const int64_t first = made.add(handle_make(1, 1));
    made.add(handle_make(2, 1));
    durable_find(&made.durable, first)->wire = 0;
    CHECK(durable_is_open(&made.durable));
    durable_at(&made.durable, handle_make(2, 1))->wire = 0;
    CHECK_FALSE(durable_is_open(&made.durable));
}

TEST_CASE("numbers of durable listeners begin anew after the last one, and leave out those in use")
{
    Durable made;
    const int64_t first = made.add(handle_make(1, 1));
    made.durable.last_number = HANDLE_SLOT_MAX;
    const int64_t second = made.add(handle_make(2, 1));
    CHECK(second != first);
    CHECK(durable_find(&made.durable, first)->wire == handle_make(1, 1));
}
