// A client of the daemon that works the shared memory of the memory lane itself, well or badly.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/descriptor.h"
#include "tests/support/patience.h"
#include "tests/support/wire.h"

extern "C" {
#include "proto/memory.h"
#include "proto/ring.h"
}

namespace test_support
{
class MemoryWire
{
  public:
    // Connects, says hello with a wish for arenas of that many bytes (0: none), takes the descriptors and maps the
    // memory. Throws when the daemon does not offer the memory lane.
    explicit MemoryWire(const std::string &socket_path, uint32_t arena = 0);
    ~MemoryWire();
    MemoryWire(const MemoryWire &) = delete;
    MemoryWire &operator=(const MemoryWire &) = delete;

    // Fills in the lengths, except that of a payload that lies in the arena. Throws when there is no room for long.
    void send(WireFrame frame);
    // The same without showing it to the daemon. False: there is no room.
    bool put(WireFrame frame);
    bool put_bytes(std::string_view record);
    // Shows the daemon what was put; it hears its bell if it sleeps.
    void publish();
    // Whether it sleeps or not.
    void ring_daemon() const;

    // The next frame; the bytes of a payload in the arena are copied, and it stays there. Nothing if the daemon hangs
    // up or time is up.
    std::optional<WireFrame> receive(std::chrono::milliseconds limit = patience);
    // The next frame if it is there already; leaves the bell alone.
    std::optional<WireFrame> next();
    // Sends, and receives the next frame.
    std::optional<WireFrame> ask(const WireFrame &frame);
    // Gives a payload in the receive arena back.
    void release(uint32_t offset, uint32_t length);
    // A connection to 127.0.0.1.
    int64_t connect(uint16_t port);

    bool is_served();
    bool is_dropped(std::chrono::milliseconds limit = patience) const;

    const Wire &socket() const;
    int memory_fd() const;
    int own_bell() const;
    void close_own_bell();
    int daemon_bell() const;
    const memory_sizes &sizes() const;
    const memory_map &map() const;
    uint8_t *base() const;
    size_t size() const;
    ring_producer &requests();

  private:
    void take_welcome(const std::string &body);
    void wait(Clock::time_point deadline) const;

    Wire socket_;
    Descriptor memory_fd_;
    Descriptor own_bell_;
    Descriptor daemon_bell_;
    memory_sizes sizes_{};
    memory_map map_{};
    uint8_t *base_ = nullptr;
    size_t size_ = 0;
    ring_producer requests_{};
    ring_consumer replies_{};
};

// Stores as the other side would: for positions that are nonsense.
void store(uint32_t &shared, uint32_t value);
uint32_t load(const uint32_t &shared);
} // namespace test_support
