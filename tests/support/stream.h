// An endless stream of bytes, in which any loss, repetition or exchange shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/peer.h"

namespace test_support
{
// Repeats a pattern whose length fits no block.
class Stream
{
  public:
    explicit Stream(uint64_t seed = 1);

    // As much as there is from `at` on in one piece, up to `most`.
    std::string_view piece(size_t at, size_t most) const;
    std::string text(size_t at, size_t size) const;
    // True: these are the bytes from `at` on.
    bool has(size_t at, std::string_view bytes) const;
    void send(const Peer &peer, size_t size, size_t from = 0) const;

  private:
    std::string bytes_;
};
} // namespace test_support
