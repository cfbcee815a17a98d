// Bytes to send, and logs to search.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace test_support
{
// Bytes in which any loss, repetition or exchange shows. Different seeds give different bytes.
std::string pattern(size_t size, uint64_t seed = 1);

bool contains(const std::string &text, const std::string &part);

// The lines in which the regular expression (POSIX, extended) matches somewhere.
std::vector<std::string> lines_with(const std::string &text, const std::string &expression);
size_t count_lines(const std::string &text, const std::string &expression);
} // namespace test_support
