#include "tests/support/command_line.h"

#include <cstdlib>
#include <getopt.h>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace test_support
{
CommandLine::CommandLine(std::string program, std::string usage)
    : program_(std::move(program)), usage_(std::move(usage))
{
    flag("help", [this] {
        std::cout << usage_;
        exit(0);
    });
}

void CommandLine::option(const char *name, std::function<void(const std::string &)> take)
{
    known_.push_back({name, true, std::move(take)});
}

void CommandLine::flag(const char *name, std::function<void()> take)
{
    known_.push_back({name, false, [take = std::move(take)](const std::string &) { take(); }});
}

void CommandLine::parse(int argc, char **argv) const
{
    std::vector<::option> options;
    for (const Known &known : known_) {
        options.push_back({known.name, known.has_value ? required_argument : no_argument, nullptr, 0});
    }
    options.push_back({});
    int index = 0;
    for (int code = 0; (code = getopt_long(argc, argv, "", options.data(), &index)) != -1;) {
        if (code != 0) {
            refuse();
        }
        const std::string value = optarg ? optarg : "";
        try {
            known_[static_cast<size_t>(index)].take(value);
        } catch (const std::logic_error &) { // of std::stoi and its like
            refuse(value + " is no number");
        }
    }
    if (optind < argc) {
        refuse(std::string("what is ") + argv[optind] + "?");
    }
}

void CommandLine::refuse(const std::string &why) const
{
    std::cerr << program_ << ": " << why << "\n" << usage_;
    exit(2);
}
} // namespace test_support
