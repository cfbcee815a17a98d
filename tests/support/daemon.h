// The real oched, in the foreground, with a place of its own.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/types.h>
#include <vector>

#include "tests/support/descriptor.h"
#include "tests/support/descriptor_table.h"
#include "tests/support/place.h"
#include "tests/support/process.h"

namespace test_support
{
struct DaemonOptions {
    std::vector<std::string> arguments; // besides --foreground, --socket, --method and --log-level
    rlim_t descriptors = 0;             // RLIMIT_NOFILE; 0: as here
    std::string log_level = "debug";
    std::vector<std::string> under = {}; // another program that runs it, with its arguments
};

class Daemon
{
  public:
    // Starts it, and waits until it takes connections.
    explicit Daemon(const DaemonOptions &options = {});
    // Ends it with SIGTERM, unless the test has waited for its end. Fails the test if it does not leave in order, or if
    // it has other descriptors then, with all clients gone, than when it was fresh.
    ~Daemon();
    Daemon(const Daemon &) = delete;
    Daemon &operator=(const Daemon &) = delete;

    const Place &place() const;
    pid_t pid() const;
    void kill(int signal) const;
    // As Process::wait(). From now on it is the test's business how the daemon left.
    std::optional<int> wait(std::chrono::milliseconds limit = patience);

    std::string log() const;
    size_t count_lines(const std::string &expression) const;
    // True as soon as that many lines match; false when time is up.
    bool logs(const std::string &expression, size_t lines = 1) const;

    size_t descriptor_count() const;

    // Reads a socket option of the daemon's connection whose local port is `port`: what the kernel really has. Throws
    // if the daemon has no such socket, or this process may not look.
    int socket_option(uint16_t port, int level, int name) const;

  private:
    Place place_;
    Descriptor log_;
    std::unique_ptr<Process> process_;
    DescriptorTable fresh_;
    bool waited_ = false;
};

// Runs oched in the foreground to its end, which comes at once if it refuses to serve. `user` as in ProcessOptions.
ProcessResult run_daemon(const std::string &socket, const std::vector<std::string> &more = {}, uid_t user = 0);

// While it lives the daemon is stopped: it neither reads nor answers.
class Stopped
{
  public:
    explicit Stopped(pid_t pid);
    ~Stopped();
    Stopped(const Stopped &) = delete;
    Stopped &operator=(const Stopped &) = delete;

  private:
    pid_t pid_;
};
} // namespace test_support
