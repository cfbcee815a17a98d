// A directory of its own for each test, in which the daemon's socket, its log and what else it leaves shall be.
//
// It points the library there: OCHE_SOCKET is the socket, and OCHE_DAEMON a script that starts the real daemon with the
// method under test, a log in the directory, and a note that it was started.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace test_support
{
// "epoll" or "select": OCHE_TEST_METHOD.
std::string method_under_test();
// "memory" or "plain": OCHE_LANE, which the library reads too.
std::string lane_under_test();

// The path of oched: OCHE_DAEMON as it was when the test started, else the one that was built with the test.
std::string oched_path();

class Place
{
  public:
    // The library starts `program` here; "": oched_path().
    explicit Place(const std::string &program = "");
    // Ends a daemon that the library started here, and removes the directory.
    ~Place();
    Place(const Place &) = delete;
    Place &operator=(const Place &) = delete;

    std::string path(const std::string &name) const;
    std::string socket_path() const;

    // True: somebody listens at the socket. Nobody notices the question.
    bool is_served() const;
    // Who serves the socket, if anybody does: who holds the lock, or, without one, who began to listen. Then the daemon
    // sees a client that comes and goes.
    std::optional<pid_t> server() const;

    // The log of the daemons that the library started.
    std::string started_log() const;
    // How often the library started a daemon, and how many daemons there are now for this place, and their respawners.
    size_t starts() const;
    size_t daemons() const;
    std::vector<pid_t> respawners() const;

    // From now on the library starts the daemon with these arguments as well.
    void start_with(const std::vector<std::string> &arguments) const;

  private:
    std::string directory_;
    std::string program_;
};
} // namespace test_support
