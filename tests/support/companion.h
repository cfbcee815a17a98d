// A second process that uses the library: it does what it is told, line by line. Another program may take the part,
// with commands of its own; those of tests/support/companion are
//
//     init                  → result of tcp_init
//     destroy               → result of tcp_destroy
//     connect PORT          → handle or code (to 127.0.0.1)
//     listen                → handle or code (on 127.0.0.1), and the port
//     accept LISTENER       → handle or code
//     read HANDLE           → count or code, and the bytes
//     write HANDLE TEXT     → count or code
//     close HANDLE          → 0 or code
//     pend-read HANDLE      → 0 or code of the call, whose completion is not waited for
//     pend-accept LISTENER  → the same
//     children              → errno of waitpid(-1), 0 if there is a child
//     error                 → oche_last_error()
//     quit                  → ends without tcp_destroy
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/descriptor.h"
#include "tests/support/process.h"

namespace test_support
{
class Companion
{
  public:
    // `under`: another program that runs it, with its arguments.
    explicit Companion(const std::vector<std::string> &environment = {},
                       const std::string &program = "tests/support/companion",
                       const std::vector<std::string> &under = {});

    // The line that it answers with.
    std::string ask(const std::string &command);
    // The number that its answer begins with.
    int64_t number(const std::string &command);
    // Asks without waiting, and takes the answer later.
    void tell(const std::string &command);
    std::string answer(std::chrono::milliseconds limit = patience);

    Process &process();

  private:
    Descriptor commands_;
    Descriptor answers_;
    std::unique_ptr<Process> process_;
};
} // namespace test_support
