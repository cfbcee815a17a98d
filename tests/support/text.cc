#include "tests/support/text.h"

#include <cstring>
#include <regex.h>
#include <sstream>
#include <stdexcept>

namespace test_support
{
std::string pattern(size_t size, uint64_t seed)
{
    // xorshift64*
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    std::string bytes(size + sizeof state, '\0');
    for (size_t at = 0; at < size; at += sizeof state) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        const uint64_t word = state * 0x2545f4914f6cdd1du;
        memcpy(bytes.data() + at, &word, sizeof word);
    }
    bytes.resize(size);
    return bytes;
}

bool contains(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

std::vector<std::string> lines_with(const std::string &text, const std::string &expression)
{
    regex_t regex;
    if (regcomp(&regex, expression.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
        throw std::invalid_argument("no regular expression: " + expression);
    }
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        if (regexec(&regex, line.c_str(), 0, nullptr, 0) == 0) {
            lines.push_back(line);
        }
    }
    regfree(&regex);
    return lines;
}

size_t count_lines(const std::string &text, const std::string &expression)
{
    return lines_with(text, expression).size();
}
} // namespace test_support
