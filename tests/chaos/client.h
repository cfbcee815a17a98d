// An isolate that keeps the books: what was asked for, what has completed, which handles are open.
//
// One thread at a time. Where a request comes to an end that only the loss of the daemon explains, Lost is thrown;
// whatever else must not be is a std::runtime_error.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <stdexcept>

#include "tests/support/isolate.h"

namespace chaos
{
// Of all isolates of a process.
struct Books {
    std::atomic<uint64_t> requests{0};    // that were queued
    std::atomic<uint64_t> completions{0}; // of these
    std::atomic<uint64_t> refusals{0};    // requests that were refused at once
    std::atomic<uint64_t> bytes{0};       // that were compared
    std::atomic<uint64_t> exchanges{0};   // that were finished
    std::atomic<uint64_t> losses{0};      // that the loss of the daemon interrupted
    std::atomic<uint64_t> held_up{0};     // sessions that could not be opened at the first attempt
    std::atomic<uint64_t> errors{0};
    std::atomic<int64_t> slowest_call{0}; // of those that do not block, microseconds
    std::atomic<int64_t> slowest_open{0}; // of tcp_init, which may take five seconds
};

struct Lost : std::runtime_error {
    Lost() : std::runtime_error("the daemon is lost")
    {
    }
};

// How long a request may take that must complete: the daemon, or this process, may be stopped meanwhile.
constexpr std::chrono::milliseconds endurance{60'000};

class Client
{
  public:
    explicit Client(Books &books);
    // Ends the session if it is open.
    ~Client();
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    // Opens the session.
    void begin();
    // Ends it, if it is open, while requests are pending, each of which must complete. `finalized`: the isolate is
    // gone, and its finalizer ends the session.
    void end(bool finalized);
    bool is_begun() const;

    test_support::Request connect(uint16_t port);
    test_support::Request connect_to(const test_support::Endpoint &to);
    test_support::Request listen();
    // One that outlives the daemon, at an address of its own, so that nobody takes its port meanwhile.
    test_support::Request listen_durably();
    test_support::Request accept(int64_t listener);
    test_support::Request read(int64_t handle);
    test_support::Request write(int64_t handle, std::string_view bytes);
    test_support::Request close_write(int64_t handle);
    test_support::Request close(int64_t handle);
    test_support::Request close_listener(int64_t listener);

    // Waits for the end of the request.
    test_support::Outcome take(const test_support::Request &request);
    // The result, which must be that one.
    void expect(const test_support::Request &request, int64_t result);
    // The handle that the request completes with.
    int64_t handle(const test_support::Request &request);
    static int64_t handle_of(const test_support::Outcome &outcome);
    // The same of a request that the loss of the daemon does not end.
    int64_t lasting_handle(const test_support::Request &request);
    bool is_done(const test_support::Request &request);

    // Closes what is open, and waits for all that is pending: each completes once, and nothing else comes.
    void settle();

    Books &books();

  private:
    template <typename Call> test_support::Request call(Call make);

    Books &books_;
    std::unique_ptr<test_support::Isolate> isolate_;
    std::list<test_support::Request> pending_;
    std::set<int64_t> connections_;
    std::set<int64_t> listeners_;
    std::set<int64_t> listens_;  // requests that complete with a listener
    std::set<int64_t> connects_; // requests that complete with a connection
};

// Microseconds of the clock that all processes share.
int64_t now();
} // namespace chaos
