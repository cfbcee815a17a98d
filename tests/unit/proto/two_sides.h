// Two sides of shared memory, for stress tests: each with a bell to sleep at, in two processes, as in life, or in two
// threads, so that the thread sanitizer can look.
#pragma once

#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

extern "C" {
#include "proto/ring.h"
}

namespace two_sides
{

class Memory
{
  public:
    explicit Memory(size_t bytes)
        : size_(bytes), base_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    {
        REQUIRE(base_ != MAP_FAILED);
    }
    ~Memory()
    {
        munmap(base_, size_);
    }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    uint8_t *at(size_t offset) const
    {
        return static_cast<uint8_t *>(base_) + offset;
    }

  private:
    size_t size_;
    void *base_;
};

class Bell
{
  public:
    Bell() : fd_(eventfd(0, EFD_CLOEXEC))
    {
        REQUIRE(fd_ >= 0);
    }
    ~Bell()
    {
        close(fd_);
    }
    Bell(const Bell &) = delete;
    Bell &operator=(const Bell &) = delete;

    void ring() const
    {
        eventfd_write(fd_, 1);
    }

    // False: nobody rang for so long that a wake-up must have been lost.
    bool wait() const
    {
        pollfd polled{fd_, POLLIN, 0};
        eventfd_t count;
        return poll(&polled, 1, 5000) == 1 && eventfd_read(fd_, &count) == 0;
    }

  private:
    int fd_;
};

// A ring in shared memory with its two bells.
struct Line {
    explicit Line(uint32_t bytes) : memory(sizeof(ring_shared) + bytes), size(bytes)
    {
    }

    ring_shared *shared() const
    {
        return reinterpret_cast<ring_shared *>(memory.at(0));
    }
    uint8_t *data() const
    {
        return memory.at(sizeof(ring_shared));
    }
    ring_producer producer() const
    {
        ring_producer ring;
        ring_producer_init(&ring, shared(), data(), size);
        return ring;
    }
    ring_consumer consumer() const
    {
        ring_consumer ring;
        ring_consumer_init(&ring, shared(), data(), size);
        return ring;
    }

    Memory memory;
    uint32_t size;
    Bell to_consumer;
    Bell to_producer;
};

// A cheap generator, the same on both sides.
class Random
{
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1)
    {
    }
    uint32_t next()
    {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<uint32_t>(state_ >> 32);
    }
    uint32_t below(uint32_t bound)
    {
        return next() % bound;
    }

  private:
    uint64_t state_;
};

// Bytes that depend on a number, and whether they are intact.
inline void fill(uint8_t *bytes, uint32_t size, uint64_t number)
{
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = static_cast<uint8_t>(number * 31 + i * 7);
}

inline bool is_filled(const uint8_t *bytes, uint32_t size, uint64_t number)
{
    for (uint32_t i = 0; i < size; i++) {
        if (bytes[i] != static_cast<uint8_t>(number * 31 + i * 7))
            return false;
    }
    return true;
}

class Deadline
{
  public:
    explicit Deadline(int milliseconds)
        : at_(std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds))
    {
    }
    bool is_over() const
    {
        return std::chrono::steady_clock::now() >= at_;
    }

  private:
    std::chrono::steady_clock::time_point at_;
};

using Side = std::function<bool()>;

inline void run_in_threads(const Side &one, const Side &other)
{
    bool other_is_fine = false;
    std::thread thread([&] { other_is_fine = other(); });
    CHECK(one());
    thread.join();
    CHECK(other_is_fine);
}

inline void run_in_processes(const Side &one, const Side &other)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(other() ? 0 : 1);
    CHECK(one());
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

} // namespace two_sides
