// What a scenario is played on: a place, a daemon, and the plan of what is to fail.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/isolate.h"
#include "tests/support/peer.h"
#include "tests/support/place.h"
#include "tests/support/process.h"
#include "tests/torture/plan.h"

namespace torture
{
// Something did not succeed, and said so. That is well if a call failed, and if none did it is a failure.
struct Ended : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Stage
{
  public:
    Stage();

    // Starts the daemon in the foreground. False: it has left.
    bool serve(const std::vector<std::string> &arguments);
    // Serves, as a daemon does that nothing fails for.
    void must_serve(const std::vector<std::string> &arguments = {});
    test_support::Process &daemon();
    bool has_daemon() const;
    std::string log() const;
    const test_support::Place &place() const;

    torture_plan &plan();
    // From now on calls count.
    void arm();
    void disarm();
    bool has_fired() const;

  private:
    test_support::Place place_;
    torture_plan *plan_;
    std::unique_ptr<test_support::Process> daemon_;
};

// Results that must be good, or Ended is thrown.
void begin(test_support::Isolate &isolate);
int64_t value(test_support::Isolate &isolate, const test_support::Request &request);
// What was received must be what was sent, or the beginning of it and an end.
void compare(std::string_view received, std::string_view sent);

// Connects to the listener, sends and receives so many bytes, and closes.
void echo(test_support::Isolate &isolate, const test_support::PeerListener &listener, size_t size);
// A whole session, with an echo in it.
void visit();
// More sessions and connections at a time than any scenario has: what the daemon keeps for a descriptor's number it
// keeps for ever, once there was such a descriptor.
void crowd();
} // namespace torture
