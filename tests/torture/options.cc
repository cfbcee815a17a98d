#include "tests/torture/options.h"

#include <algorithm>
#include <cstring>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tests/support/command_line.h"
#include "tests/torture/list.h"
#include "tests/torture/names.h"
#include "tests/torture/plan.h"

namespace torture
{
namespace
{
using test_support::CommandLine;

const char usage[] = R"(Usage: torture [OPTION]...
Plays each scenario once and counts the calls that can fail, memory and descriptors and all; then plays it again for each
of them, and lets that one fail, with each error that it can have. After each the daemon must serve the next client, and
nothing may have crashed, hung, leaked, been lost or been told twice.

  --scenario NAME     only this one; may be repeated (--list names them)
  --side SIDE         only calls of the daemon, or only of the client
  --lane LANE         memory or plain (default: both)
  --method METHOD     how the daemon waits: epoll (default), select or io_uring
  --only FUNCTION[:N[:ERROR]]
                      only this function, only its N-th call, only this error: --only malloc:3:ENOMEM
  --every K           one of K failures (default: 1), by turns through all functions
  --from N            begins with the N-th failure
  --jobs N            runs at a time (default: 2)
  --seconds N         begins no run after that (default: no end)
  --list, --help

Each failure that was not survived is told on standard error, with how to repeat it. The exit code is 0 if there was
none.
)";

int function_called(const CommandLine &line, const std::string &name)
{
    const auto *found = std::find(std::begin(function_names), std::end(function_names), name);
    if (found == std::end(function_names)) {
        line.refuse("no function " + name);
    }
    return static_cast<int>(found - std::begin(function_names));
}

int error_called(const CommandLine &line, int function, const std::string &name)
{
    for (const int *error = function_errors[function]; *error; error++) {
        if (name == strerrorname_np(*error)) {
            return *error;
        }
    }
    line.refuse(std::string(function_names[function]) + " does not fail with " + name);
}

void parse_only(const CommandLine &line, Options &options, const std::string &text)
{
    std::istringstream parts(text);
    std::string function, nth, error;
    getline(parts, function, ':');
    options.function = function_called(line, function);
    if (getline(parts, nth, ':')) {
        options.nth = std::stoi(nth);
    }
    if (getline(parts, error)) {
        options.error = error_called(line, options.function, error);
    }
}

void list()
{
    for (const auto &scenario : scenario_list()) {
        std::cout << scenario.name << (scenario.tortures_daemon ? " daemon" : "")
                  << (scenario.tortures_client ? " client" : "") << "\n";
    }
    exit(0);
}

} // namespace

Options parse_options(int argc, char **argv)
{
    Options options;
    CommandLine line("torture", usage);
    line.option("scenario", [&](const std::string &text) {
        const auto &all = scenario_list();
        if (std::none_of(all.begin(), all.end(), [&](const Listed &one) { return one.name == text; })) {
            line.refuse("no scenario " + text);
        }
        options.scenarios.push_back(text);
    });
    line.option("side", [&](const std::string &text) {
        options.side = text == "daemon" ? TORTURE_DAEMON : text == "client" ? TORTURE_CLIENT : -1;
    });
    line.option("lane", [&](const std::string &text) { options.lanes = {text}; });
    line.option("method", [&](const std::string &text) { options.method = text; });
    line.option("only", [&](const std::string &text) { parse_only(line, options, text); });
    line.option("every", [&](const std::string &text) { options.every = std::max(1UL, std::stoul(text)); });
    line.option("from", [&](const std::string &text) { options.from = std::stoul(text); });
    line.option("jobs", [&](const std::string &text) { options.jobs = static_cast<unsigned>(std::stoul(text)); });
    line.option("seconds", [&](const std::string &text) { options.seconds = std::chrono::seconds(std::stoul(text)); });
    line.flag("list", list);
    line.parse(argc, argv);
    const std::string &lane = options.lanes[0];
    if (options.side < 0 || options.jobs < 1 || options.jobs > 64 || (lane != "memory" && lane != "plain") ||
        (options.method != "epoll" && options.method != "select" && options.method != "io_uring")) {
        line.refuse();
    }
    return options;
}
} // namespace torture
