// The daemon's counters, and those of this user.
#pragma once

#include "oche/oche.h"

namespace test_support
{
// Asks for them in a session of its own, which is counted as others are.
class Counters
{
  public:
    // Throws when there is no session to be had.
    Counters();
    ~Counters();
    Counters(const Counters &) = delete;
    Counters &operator=(const Counters &) = delete;

    // Throws when the daemon does not tell.
    oche_statistics look() const;
    // True as soon as the daemon has taken so many bytes from connections; false when time is up.
    bool have_received(uint64_t count) const;

  private:
    oche_session *session_ = nullptr;
};
} // namespace test_support
