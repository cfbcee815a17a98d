// How long tests wait for what must happen. Only a failing test waits that long.
#pragma once

#include <chrono>
#include <thread>

namespace test_support
{
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds patience{10'000};

// For programs that run under another one, and many times slower.
constexpr std::chrono::milliseconds much_patience{50'000};

// Long enough for something that must not happen to show, if it does happen.
constexpr std::chrono::milliseconds moment{100};

// True as soon as the predicate is; false when time is up.
template <typename Predicate> bool eventually(Predicate predicate, std::chrono::milliseconds limit = patience)
{
    const auto deadline = Clock::now() + limit;
    while (!predicate()) {
        if (Clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

// What the call takes.
template <typename Call> std::chrono::microseconds time_of(Call call)
{
    const auto start = Clock::now();
    call();
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}
} // namespace test_support
