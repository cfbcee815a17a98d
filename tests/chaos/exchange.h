// What the load consists of: exchanges, each with connections of its own, in which every byte is compared.
#pragma once

#include <cstdint>
#include <random>

#include "tests/chaos/client.h"

namespace chaos
{
using Random = std::mt19937_64;

// 0 to `end` - 1.
uint64_t below(Random &random, uint64_t end);

// A short echo over a new connection: the least that must work.
void knock(Client &client, uint16_t port, uint64_t seed);

// One exchange of any kind; `port` is that of the services. Throws Lost, or std::runtime_error when something is not
// as it must be. May leave open and pending what it has begun.
void exchange(Client &client, uint16_t port, Random &random);
} // namespace chaos
