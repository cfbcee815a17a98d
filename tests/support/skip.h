/* SKIP("why"): ends the test case that it stands in, which then counts as skipped instead of
 * passed. Use it for what the machine lacks (IPv6, a kernel feature), directly in the body of a
 * TEST_CASE. */
#pragma once

#include <string>

namespace test_support
{
void mark_skipped(const std::string &why);
}

#define SKIP(why)                                                                                                      \
    do {                                                                                                               \
        test_support::mark_skipped(why);                                                                               \
        return;                                                                                                        \
    } while (false)
