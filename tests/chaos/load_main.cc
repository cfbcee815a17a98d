// A process under load: isolates that do one exchange after the other. It does what it is told, line by line:
//
//     start SEED PORT ISOLATES LIFE → "ready": as many isolates, on threads of their own, use the services at PORT.
//     LIFE
//                                     is how many exchanges an isolate lives for on average, 0: for ever
//     rest                          → each isolate finishes what it is at, and opens a new connection that must work;
//                                     then the books (books.h), and everything stands still
//     leave                         → the same, and each isolate ends as well
//     go                            → "going": goes on
//     progress                      → how many exchanges there were so far
//     quit                          → "bye": ends
#include <cerrno>
#include <condition_variable>
#include <iostream>
#include <malloc.h>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/chaos/books.h"
#include "tests/chaos/exchange.h"
#include "tests/support/report.h"

using namespace chaos;
using namespace test_support;

namespace
{
Books books;

enum class Mode { go, rest, leave, quit };

// What all isolates are told, and who of them has got there.
class Gate
{
  public:
    Mode mode(uint64_t *told)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        *told = told_;
        return mode_;
    }

    void tell(Mode mode)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        mode_ = mode;
        told_++;
        waiting_ = 0;
        changed_.notify_all();
    }

    void wait_for_all(size_t count)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return waiting_ == count; });
    }

    // Of an isolate that has done what it was told: until it is told something else.
    void wait_here(uint64_t told)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        if (told == told_) {
            waiting_++;
            changed_.notify_all();
            changed_.wait(lock, [&] { return told != told_; });
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    Mode mode_ = Mode::rest;
    uint64_t told_ = 0; // how often
    size_t waiting_ = 0;
};

Gate gate;

std::mutex recoveries_mutex;
std::vector<int64_t> recoveries; // when an isolate had its first echo after a loss

class Runner
{
  public:
    Runner(uint64_t seed, uint16_t port, uint64_t life)
        : random_(seed), port_(port), life_(life), client_(books), thread_([this] { run(); })
    {
    }

    ~Runner()
    {
        thread_.join();
    }

  private:
    void run()
    {
        uint64_t told = 0;
        for (Mode mode = gate.mode(&told); mode != Mode::quit; mode = gate.mode(&told)) {
            if (mode == Mode::go) {
                safely([this] { work(); });
                continue;
            }
            safely([this] { settle(); });
            if (mode == Mode::leave) {
                client_.end(false);
            }
            gate.wait_here(told);
        }
        client_.end(false);
    }

    template <typename Call> void safely(Call call)
    {
        try {
            call();
        } catch (const std::exception &error) {
            report_failure(error.what());
        }
    }

    void work()
    {
        if (!client_.is_begun()) {
            client_.begin();
        }
        try {
            exchange(client_, port_, random_);
            books.exchanges++;
        } catch (const Lost &) {
            books.losses++;
            recover();
            return;
        }
        if (life_ && below(random_, life_) == 0) {
            client_.end(below(random_, 3) == 0);
        } else {
            client_.settle();
        }
    }

    // A new connect works: after the loss of the daemon was noticed always, before that at the second attempt.
    void recover()
    {
        client_.settle();
        try {
            knock(client_, port_, random_());
        } catch (const Lost &) {
            client_.settle();
            knock(client_, port_, random_());
        }
        const std::lock_guard<std::mutex> lock(recoveries_mutex);
        recoveries.push_back(now());
    }

    void settle()
    {
        if (!client_.is_begun()) {
            client_.begin();
        }
        client_.settle();
        try {
            knock(client_, port_, random_());
        } catch (const Lost &) {
            books.losses++;
            recover();
        }
        client_.settle();
    }

    Random random_;
    uint16_t port_;
    uint64_t life_;
    Client client_;
    std::thread thread_;
};

std::vector<std::unique_ptr<Runner>> runners;

std::string report()
{
    malloc_trim(0); // so that what is resident is what is in use
    Report report;
    report.requests = books.requests;
    report.completions = books.completions;
    report.refusals = books.refusals;
    report.bytes = books.bytes;
    report.exchanges = books.exchanges;
    report.losses = books.losses;
    report.held_up = books.held_up;
    report.errors = books.errors;
    report.slowest_call = books.slowest_call.exchange(0);
    report.slowest_open = books.slowest_open.exchange(0);
    report.blocks = ExternalBytes::alive();
    report.children = waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD ? 0 : 1;
    const std::lock_guard<std::mutex> lock(recoveries_mutex);
    report.recoveries.swap(recoveries);
    return report.text();
}

std::string answer(const std::string &command)
{
    std::istringstream words(command);
    std::string verb;
    words >> verb;
    if (verb == "start") {
        uint64_t seed = 0;
        uint16_t port = 0;
        size_t isolates = 0;
        uint64_t life = 0;
        words >> seed >> port >> isolates >> life;
        for (size_t i = 0; i < isolates; i++) {
            runners.push_back(std::make_unique<Runner>(seed * 1000 + i, port, life));
        }
        gate.wait_for_all(runners.size());
        return "ready";
    }
    if (verb == "rest" || verb == "leave") {
        gate.tell(verb == "rest" ? Mode::rest : Mode::leave);
        gate.wait_for_all(runners.size());
        return report();
    }
    if (verb == "go") {
        gate.tell(Mode::go);
        return "going";
    }
    if (verb == "progress") {
        return std::to_string(books.exchanges);
    }
    throw std::runtime_error("no such command: " + verb);
}
} // namespace

void test_support::report_failure(const std::string &text)
{
    books.errors++;
    std::cerr << "process " + std::to_string(getpid()) + ": " + text + "\n";
}

int main()
{
    for (std::string command; std::getline(std::cin, command) && command != "quit";) {
        std::cout << answer(command) << std::endl;
    }
    gate.tell(Mode::quit);
    runners.clear();
    std::cout << "bye" << std::endl;
    return books.errors ? 1 : 0;
}
