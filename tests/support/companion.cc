#include "tests/support/companion.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace test_support
{
namespace
{
struct Pipe {
    Descriptor output;
    Descriptor input;
};

Pipe make_pipe()
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        throw std::system_error(errno, std::generic_category(), "pipe");
    }
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}
} // namespace

Companion::Companion(const std::vector<std::string> &environment, const std::string &program,
                     const std::vector<std::string> &under)
{
    Pipe commands = make_pipe();
    Pipe answers = make_pipe();
    ProcessOptions options;
    options.arguments = under;
    options.arguments.push_back(runfile(program));
    options.environment = environment;
    options.input = commands.output.get();
    options.output = answers.input.get();
    process_ = std::make_unique<Process>(options);
    commands_ = std::move(commands.input);
    answers_ = std::move(answers.output);
}

std::string Companion::ask(const std::string &command)
{
    tell(command);
    return answer();
}

int64_t Companion::number(const std::string &command)
{
    return std::stoll(ask(command));
}

void Companion::tell(const std::string &command)
{
    const std::string line = command + "\n";
    if (write(commands_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        throw std::system_error(errno, std::generic_category(), "write to the companion");
    }
}

std::string Companion::answer(std::chrono::milliseconds limit)
{
    std::string line;
    for (;;) {
        char c = 0;
        pollfd waited{answers_.get(), POLLIN, 0};
        if (poll(&waited, 1, static_cast<int>(limit.count())) <= 0 || ::read(answers_.get(), &c, 1) != 1) {
            throw std::runtime_error("the companion does not answer, or has left");
        }
        if (c == '\n') {
            return line;
        }
        line += c;
    }
}

Process &Companion::process()
{
    return *process_;
}
} // namespace test_support
