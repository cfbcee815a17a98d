// The program of tests/support/companion.h.
#include <cerrno>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/isolate.h"
#include "tests/support/report.h"

using namespace test_support;

namespace
{
Request make(Isolate &isolate, const std::string &verb, int64_t number, const std::string &text)
{
    if (verb == "connect") {
        return isolate.connect({loopback4(), static_cast<uint16_t>(number)});
    }
    if (verb == "listen") {
        return isolate.listen({loopback4(), 0});
    }
    if (verb == "accept" || verb == "pend-accept") {
        return isolate.accept(number);
    }
    if (verb == "read" || verb == "pend-read") {
        return isolate.read(number);
    }
    if (verb == "write") {
        return isolate.write(number, text);
    }
    if (verb == "close") {
        return isolate.close(number);
    }
    throw std::runtime_error("no such command: " + verb);
}

std::string answer(Isolate &isolate, const std::string &command)
{
    std::istringstream words(command);
    std::string verb;
    std::string text;
    int64_t number = 0;
    words >> verb >> number >> text;
    if (verb == "init") {
        return std::to_string(isolate.init());
    }
    if (verb == "destroy") {
        return std::to_string(isolate.destroy());
    }
    if (verb == "children") {
        return std::to_string(waitpid(-1, nullptr, WNOHANG) < 0 ? errno : 0);
    }
    if (verb == "error") {
        return oche_last_error();
    }
    const Request request = make(isolate, verb, number, text);
    if (verb.rfind("pend-", 0) == 0) {
        return std::to_string(request.returned);
    }
    const Outcome outcome = isolate.outcome(request);
    std::string line = std::to_string(outcome.result);
    if (verb == "read") {
        line += " " + outcome.text();
    } else if (verb == "listen" && outcome.result > 0) {
        line += " " + std::to_string(Isolate::local(outcome.result).port);
    }
    return line;
}
} // namespace

void test_support::report_failure(const std::string &text)
{
    std::cerr << "companion: " << text << std::endl;
    _exit(1);
}

int main()
{
    // Not destroyed at the end: that is for "destroy" to say.
    auto *isolate = new Isolate;
    for (std::string command; std::getline(std::cin, command) && command != "quit";) {
        try {
            std::cout << answer(*isolate, command) << std::endl;
        } catch (const std::exception &error) {
            std::cout << "0 failed: " << error.what() << std::endl;
        }
    }
    std::cout.flush();
    _exit(0);
}
