// How support code that is also used outside of tests says that something is wrong.
#pragma once

#include <string>

namespace test_support
{
// Fails the test, which goes on. In the companion: ends the process with a message.
void report_failure(const std::string &text);
} // namespace test_support
