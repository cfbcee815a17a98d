// The processes under load, as those see them who let them work and look at them afterwards.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "oche/oche.h"
#include "tests/chaos/books.h"
#include "tests/support/companion.h"

namespace chaos
{
struct LoadOptions {
    std::string name;
    std::vector<std::string> environment;
    uint64_t seed;
    uint16_t port;     // of the services
    unsigned isolates; // which end and come anew
    unsigned life;     // after so many exchanges on average; 0: never
};

// What a process has.
struct Footprint {
    size_t descriptors = 0;
    size_t threads = 0;
    size_t resident = 0; // bytes
};

Footprint footprint_of(pid_t pid);

using Footprints = std::map<std::string, Footprint>; // by the name of the process

// Descriptors and threads are the same.
bool is_same(const Footprints &some, const Footprints &others);
// What `look` sees when it sees the same twice, with a moment between: who has just come and gone is forgotten then.
Footprints lasting(const std::function<Footprints()> &look);

// Stops it, and returns when all its threads stand still.
void stop(pid_t pid);

class Load
{
  public:
    explicit Load(LoadOptions options);

    const std::string &name() const;
    unsigned isolates() const;
    pid_t pid();
    void kill(int signal);
    // The exit status when it has ended.
    std::optional<int> wait();

    // Ends the process, if it is there, and starts another one in its place.
    void replace();

    void go();
    uint64_t progress();
    // "rest" or "leave" is said to all before anybody is waited for.
    void tell(const std::string &command);
    const Report &take_report();
    // The last one.
    const Report &report() const;
    // The sum of all processes that had this place.
    const Report &total() const;

    // Ends the process in order. False: it found something wrong at the end.
    bool quit();

  private:
    void start();
    void add_up();

    LoadOptions options_;
    uint64_t generation_ = 0;
    std::unique_ptr<test_support::Companion> process_;
    Report report_;
    Report total_;
};

// What the daemon says of itself to a client that comes only to ask, which is among the open sessions. Throws when
// nobody serves.
oche_statistics ask_daemon();

// The middle of the values; 0 if there are none.
double median(std::vector<double> values);

// How much more there was in the last quarter of the time than in the third, in the middle. What a process needs once
// it has by then; a burst counts for nothing.
double growth(const std::vector<double> &samples);

// False where memory is not what the program asks for: with a sanitizer.
bool memory_tells();
} // namespace chaos
