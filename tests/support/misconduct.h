// What is seen of the daemon when a client misbehaves, and requests of such a client.
#pragma once

#include <functional>

#include "tests/support/daemon.h"
#include "tests/support/memory_wire.h"

namespace test_support
{
// Lines of the log that somebody should look at.
size_t complaints(const Daemon &daemon);

// Sessions whose memory the daemon has.
size_t mappings(const Daemon &daemon);

// Checks that a session on the memory lane is dropped as it should be, while good ones on both lanes go on.
void check_dropped(const std::function<void(MemoryWire &)> &misbehave);

// A frame that says where its payload lies in the arena.
WireFrame in_arena(WireFrame frame, uint32_t offset, uint32_t length);
} // namespace test_support
