// Keeps what the process writes to one of its standard streams, and lets nothing through.
#pragma once

#include <string>

#include "tests/support/descriptor.h"

namespace test_support
{
class Capture
{
  public:
    // STDOUT_FILENO or STDERR_FILENO.
    explicit Capture(int stream);
    ~Capture();
    Capture(const Capture &) = delete;
    Capture &operator=(const Capture &) = delete;

    std::string text() const;

  private:
    int stream_;
    Descriptor before_;
    Descriptor file_;
};
} // namespace test_support
