// The network that the load talks to: plain sockets in this process, a thread for each connection.
//
// A connection begins with an Order, which says what the service does with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "tests/support/peer.h"

namespace chaos
{
enum class Service : uint32_t {
    echo,     // sends back what comes, until the stream ends
    source,   // sends `size` bytes of pattern(size, seed), then the end
    resetter, // the same, then a reset in the place of the end
    sink,     // takes everything, then sends "y" if it was pattern(size, seed), else "n"
    sluggard, // the same, with pauses
};

struct Order {
    Service service;
    uint32_t size;
    uint64_t seed;

    std::string bytes() const;
};

class Services
{
  public:
    Services();
    // Waits for the connections that are there.
    ~Services();
    Services(const Services &) = delete;
    Services &operator=(const Services &) = delete;

    uint16_t port() const;

  private:
    void accept_all();

    test_support::PeerListener listener_;
    std::atomic<bool> stops_{false};
    std::atomic<size_t> served_{0}; // now
    std::thread thread_;
};
} // namespace chaos
