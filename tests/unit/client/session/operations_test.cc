#include <catch2/catch.hpp>

extern "C" {
#include "proto/frame.h"
#include "tests/unit/client/session/crowded_session.h"
}

TEST_CASE("a close has the room that was reserved for it, whatever it gives back")
{
    // An eighth of the blocks may be given back without a word to the daemon; what exceeds that is told at once.
    const unsigned payloads = GENERATE(0u, 1u, 2u, 5u);
    CHECK(crowded_session_close(payloads) == FRAME_CLOSE);
}
