// The command line of a program for people: long options, most of which have a value.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace test_support
{
class CommandLine
{
  public:
    // --help prints the usage, and ends the program.
    CommandLine(std::string program, std::string usage);
    CommandLine(const CommandLine &) = delete;
    CommandLine &operator=(const CommandLine &) = delete;

    // `take` gets the value. What it throws because the value is no number is told.
    void option(const char *name, std::function<void(const std::string &)> take);
    // An option without a value.
    void flag(const char *name, std::function<void()> take);

    // Ends the program when there is anything else.
    void parse(int argc, char **argv) const;
    // Says why, and how it would be right, and ends the program with 2.
    [[noreturn]] void refuse(const std::string &why = "wrong command line") const;

  private:
    struct Known {
        const char *name;
        bool has_value;
        std::function<void(const std::string &)> take;
    };

    std::string program_;
    std::string usage_;
    std::vector<Known> known_;
};
} // namespace test_support
