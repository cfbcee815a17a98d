// The next daemon, which takes over from the one that serves: a real one, or one that the test plays; and a client that
// follows to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/peer.h"
#include "tests/support/wire.h"

namespace test_support
{
// oched --replace in the foreground, with a log of its own.
class Successor
{
  public:
    explicit Successor(const Place &place, const std::vector<std::string> &arguments = {});
    // Ends it with SIGTERM. Fails the test if it does not leave in order, unless the test has waited for its end.
    ~Successor();
    Successor(const Successor &) = delete;
    Successor &operator=(const Successor &) = delete;

    // True as soon as it has what its predecessor had.
    bool serves() const;
    bool logs(const std::string &expression) const;
    std::string log() const;
    std::optional<int> wait();

  private:
    std::string log_;
    std::unique_ptr<Process> process_;
    bool waited_ = false;
};

WireFrame handover_frame(int64_t word);

// HANDOVER_ASK with the key of the daemon there.
WireFrame ask_frame(const Place &place);

// A conversation in which the test plays the successor: it has asked, and was offered everything.
std::unique_ptr<Wire> offered(const Daemon &daemon, size_t listeners);

struct Greeted {
    std::string token;
    bool resumed;
};

// Says hello as a client that follows; with a token, as one that comes from a predecessor.
Greeted greet(const Wire &wire, std::string token = "", uint32_t generation = 0);

// True: nobody listens there.
bool is_refused(const Endpoint &at);
} // namespace test_support
