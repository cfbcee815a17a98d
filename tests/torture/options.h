// The command line of torture.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace torture
{
struct Options {
    std::vector<std::string> scenarios;
    int side = 0; // 0: both
    std::vector<std::string> lanes{"memory", "plain"};
    std::string method = "epoll";
    int function = -1; // -1, and 0 below: any
    int nth = 0;
    int error = 0;
    size_t every = 1;
    size_t from = 1;
    unsigned jobs = 2;
    std::chrono::seconds seconds = std::chrono::hours(24);
};

// Leaves with the usage if the command line is wrong, or asks for it.
Options parse_options(int argc, char **argv);
} // namespace torture
