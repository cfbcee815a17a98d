#include "tests/torture/options.h"

#include <algorithm>
#include <cstring>
#include <getopt.h>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "tests/torture/list.h"
#include "tests/torture/names.h"
#include "tests/torture/plan.h"

namespace torture
{
namespace
{
const char usage[] = R"(Usage: torture [OPTION]...
Plays each scenario once and counts the calls that can fail, memory and descriptors and all; then plays it again for each
of them, and lets that one fail, with each error that it can have. After each the daemon must serve the next client, and
nothing may have crashed, hung, leaked, been lost or been told twice.

  --scenario NAME     only this one; may be repeated (--list names them)
  --side SIDE         only calls of the daemon, or only of the client
  --lane LANE         memory or plain (default: both)
  --method METHOD     how the daemon waits: epoll (default) or select
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

[[noreturn]] void refuse(const std::string &why)
{
    std::cerr << "torture: " << why << "\n" << usage;
    exit(2);
}

int function_called(const std::string &name)
{
    const auto *found = std::find(std::begin(function_names), std::end(function_names), name);
    if (found == std::end(function_names)) {
        refuse("no function " + name);
    }
    return static_cast<int>(found - std::begin(function_names));
}

int error_called(int function, const std::string &name)
{
    for (const int *error = function_errors[function]; *error; error++) {
        if (name == strerrorname_np(*error)) {
            return *error;
        }
    }
    refuse(std::string(function_names[function]) + " does not fail with " + name);
}

void parse_only(Options &options, const std::string &text)
{
    std::istringstream parts(text);
    std::string function, nth, error;
    getline(parts, function, ':');
    options.function = function_called(function);
    if (getline(parts, nth, ':')) {
        options.nth = std::stoi(nth);
    }
    if (getline(parts, error)) {
        options.error = error_called(options.function, error);
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
    static const option known[] = {
        {"scenario", required_argument, nullptr, 's'}, {"side", required_argument, nullptr, 'd'},
        {"lane", required_argument, nullptr, 'l'},     {"method", required_argument, nullptr, 'm'},
        {"only", required_argument, nullptr, 'o'},     {"every", required_argument, nullptr, 'e'},
        {"from", required_argument, nullptr, 'f'},     {"jobs", required_argument, nullptr, 'j'},
        {"seconds", required_argument, nullptr, 't'},  {"list", no_argument, nullptr, 'i'},
        {"help", no_argument, nullptr, 'h'},           {}};
    Options options;
    const auto &all = scenario_list();
    for (int found = 0; (found = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        const std::string text = optarg ? optarg : "";
        try {
            switch (found) {
            case 's':
                if (std::none_of(all.begin(), all.end(), [&](const Listed &one) { return one.name == text; })) {
                    refuse("no scenario " + text);
                }
                options.scenarios.push_back(text);
                break;
            case 'd':
                options.side = text == "daemon" ? TORTURE_DAEMON : text == "client" ? TORTURE_CLIENT : -1;
                break;
            case 'l':
                options.lanes = {text};
                break;
            case 'm':
                options.method = text;
                break;
            case 'o':
                parse_only(options, text);
                break;
            case 'e':
                options.every = std::max(1UL, std::stoul(text));
                break;
            case 'f':
                options.from = std::stoul(text);
                break;
            case 'j':
                options.jobs = static_cast<unsigned>(std::stoul(text));
                break;
            case 't':
                options.seconds = std::chrono::seconds(std::stoul(text));
                break;
            case 'i':
                list();
                break;
            case 'h':
                std::cout << usage;
                exit(0);
            default:
                refuse("wrong command line");
            }
        } catch (const std::logic_error &) {
            refuse(text + " is no number");
        }
    }
    const std::string &lane = options.lanes[0];
    if (optind < argc || options.side < 0 || options.jobs < 1 || options.jobs > 64 ||
        (lane != "memory" && lane != "plain") || (options.method != "epoll" && options.method != "select")) {
        refuse("wrong command line");
    }
    return options;
}
} // namespace torture
