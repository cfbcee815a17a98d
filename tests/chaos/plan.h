// Which blow falls in which round, and when.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "tests/chaos/exchange.h"

namespace chaos
{
enum class Blow { kill, abort, fault, stop, stop_and_kill, victim_kill, victim_abort, victim_stop, both, long_stop };

inline const char *const blow_names[] = {
    "the daemon is killed",
    "the daemon aborts",
    "the daemon aborts in the middle of its work",
    "the daemon is stopped",
    "the daemon is stopped, then killed",
    "a client is killed",
    "a client aborts",
    "a client is stopped",
    "the daemon and a client are killed",
    "the daemon is stopped for long",
};

// How often, of a hundred.
constexpr unsigned shares[] = {18, 10, 22, 10, 6, 12, 6, 8, 8};

constexpr int rounds_between_long_stops = 100;
constexpr int first_long_stop = 7;

// What is random in a round: the same for the same seed, whatever happened before.
struct Plan {
    Blow blow;
    std::chrono::milliseconds delay;
    std::chrono::milliseconds pause;
    size_t victim;
    int fault;

    Plan(uint64_t seed, int round)
    {
        Random random(seed * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(round));
        uint64_t at = below(random, 100);
        size_t index = 0;
        while (at >= shares[index]) {
            at -= shares[index++];
        }
        blow = round % rounds_between_long_stops == first_long_stop ? Blow::long_stop : static_cast<Blow>(index);
        delay = std::chrono::milliseconds(below(random, 40));
        pause = std::chrono::milliseconds(5 + below(random, 120));
        victim = below(random, 2);
        fault = static_cast<int>(below(random, 1000));
    }

    bool ends_daemon() const
    {
        return blow <= Blow::fault || blow == Blow::stop_and_kill || blow == Blow::both;
    }

    bool ends_victim() const
    {
        return blow == Blow::victim_kill || blow == Blow::victim_abort || blow == Blow::both;
    }
};
} // namespace chaos
