// Processes: starting them, and what /proc tells about them.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/types.h>
#include <vector>

#include "tests/support/patience.h"

namespace test_support
{
struct ProcessOptions {
    std::vector<std::string> arguments;   // the program first
    std::vector<std::string> environment; // NAME=VALUE, in addition to this process's; NAME alone removes
    int input = -1;                       // becomes the standard stream; -1: the one of this process
    int output = -1;
    int error = -1;
    rlim_t descriptors = 0; // RLIMIT_NOFILE; 0: as here
    uid_t user = 0;         // 0: the one of this process
    int pending = 0;        // a signal that is blocked, and has come, when the program starts; 0: none
};

// A child. Killed and waited for at the end of its life here, and killed when this process dies.
class Process
{
  public:
    explicit Process(const ProcessOptions &options);
    ~Process();
    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;

    pid_t pid() const;
    void kill(int signal) const;

    // The exit status; 128 and the number of the signal that killed it; nothing if it still runs when time is up.
    std::optional<int> wait(std::chrono::milliseconds limit = patience);

  private:
    pid_t pid_;
    std::optional<int> status_;
};

struct ProcessResult {
    int status = -1; // as Process::wait() says; -1: it had to be killed
    std::string output;
    std::string error;
};

// Runs a program to its end.
ProcessResult run(ProcessOptions options);

// The path of a file that the test depends on, `path` counting from the root of the source tree.
std::string runfile(const std::string &path);

// As kill(2). ThreadSanitizer loses one in some hundred of the signals that are caught while the program does not wait
// for anything, so in a build with it they are sent when the program waits, or after a second.
void send_signal(pid_t pid, int signal);

// False: gone, or a zombie.
bool is_alive(pid_t pid);

bool is_close_on_exec(pid_t pid, int descriptor);

// User and system time so far, as fine as the clock tick (10 ms).
std::chrono::milliseconds cpu_time_of(pid_t pid);
size_t resident_bytes_of(pid_t pid);
// Voluntary and involuntary, of all threads.
unsigned long context_switches_of(pid_t pid);

// All of a file, or "" if it cannot be read.
std::string contents_of(const std::string &path);
} // namespace test_support
