// The scenarios: short conversations of a client with the daemon, each the same every time.
#pragma once

#include <string>
#include <vector>

#include "tests/torture/stage.h"

namespace torture
{
// Who starts the daemon of a scenario.
enum class Start {
    before, // it serves, and has been visited, before calls count
    within, // the scenario, so that its start counts
};

struct Scenario {
    std::string name; // of list.h
    Start start;
    bool loses_daemon;                  // it is gone at the end, and nobody wonders
    std::vector<std::string> arguments; // of the daemon
    void (*play)(Stage &stage);
};

const std::vector<Scenario> &scenarios();
} // namespace torture
