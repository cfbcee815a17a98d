// Another user than the one of the test.
#pragma once

#include <sys/types.h>

namespace test_support
{
constexpr uid_t nobody = 65534;

// Why files cannot be given away, and processes not become another user's; or null.
const char *why_no_others();
} // namespace test_support
