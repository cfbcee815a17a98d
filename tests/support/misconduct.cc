#include "tests/support/misconduct.h"

#include <catch2/catch.hpp>

#include "tests/support/text.h"

namespace test_support
{
size_t complaints(const Daemon &daemon)
{
    return daemon.count_lines(" (warning|error) ");
}

size_t mappings(const Daemon &daemon)
{
    return count_lines(contents_of("/proc/" + std::to_string(daemon.pid()) + "/maps"), "memfd:oche");
}

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

WireFrame in_arena(WireFrame frame, uint32_t offset, uint32_t length)
{
    frame.header.flags |= FRAME_IN_ARENA;
    frame.header.payload_offset = offset;
    frame.header.payload_length = length;
    return frame;
}
} // namespace test_support
