// The client of valgrind_test: a companion (see tests/support/companion.h) with two commands of its own:
//     work  → "done": echo, listening, a large write, hoarding
//     lose  → the code that a pending read completes with, when the daemon leaves
#include <iostream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/report.h"

using namespace test_support;

namespace
{
constexpr size_t large = 4 << 20;

struct Both {
    int64_t connected;
    int64_t accepted;
};

Both both_ends(Isolate &isolate)
{
    const int64_t listener = listening(isolate);
    const Request accepting = isolate.accept(listener);
    const int64_t connected = isolate.value(isolate.connect(Isolate::local(listener)));
    const Both both{connected, isolate.value(accepting)};
    isolate.result(isolate.listener_close(listener, false));
    return both;
}

void require(bool fact, const char *what)
{
    if (!fact) {
        throw std::runtime_error(what);
    }
}

void echo(Isolate &isolate, const Both &both)
{
    for (int i = 0; i < 20; i++) {
        const std::string text = "echo " + std::to_string(i);
        isolate.value(isolate.write(both.connected, text));
        const std::string there = isolate.read_exactly(both.accepted, text.size());
        isolate.value(isolate.write(both.accepted, there));
        require(isolate.read_exactly(both.connected, text.size()) == text, "the echo is another text");
    }
}

void write_much(Isolate &isolate, const Both &both)
{
    const std::string text(large, 'l');
    const Request write = isolate.write(both.connected, text);
    require(isolate.read_exactly(both.accepted, large) == text, "a large write arrives as something else");
    require(isolate.value(write) == static_cast<int64_t>(large), "a large write is cut short");
}

// Data is kept until all of it has been read, more than the rings and the arena have room for.
void hoard(Isolate &isolate, const Both &both)
{
    const Request write = isolate.write(both.connected, std::string(large, 'h'));
    std::vector<Outcome> hoarded;
    for (size_t count = 0; count < large;) {
        hoarded.push_back(isolate.outcome(isolate.read(both.accepted)));
        require(hoarded.back().result > 0, "a read among hoarded ones fails");
        count += static_cast<size_t>(hoarded.back().result);
    }
    isolate.value(write);
}

void work(Isolate &isolate)
{
    isolate.start();
    const Both both = both_ends(isolate);
    echo(isolate, both);
    write_much(isolate, both);
    hoard(isolate, both);
    isolate.result(isolate.close(both.connected));
    isolate.result(isolate.close(both.accepted));
    // And a second life.
    isolate.destroy();
    isolate.start();
}
} // namespace

void test_support::report_failure(const std::string &text)
{
    std::cerr << "valgrind_client: " << text << std::endl;
    _exit(1);
}

int main()
{
    Isolate isolate;
    Request pending{};
    for (std::string command; std::getline(std::cin, command) && command != "quit";) {
        try {
            if (command == "work") {
                work(isolate);
                pending = isolate.read(both_ends(isolate).connected);
                std::cout << "done" << std::endl;
            } else {
                std::cout << isolate.result(pending) << std::endl;
            }
        } catch (const std::exception &error) {
            std::cout << "0 failed: " << error.what() << std::endl;
        }
    }
    return 0;
}
