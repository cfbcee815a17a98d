#include "tests/support/daemon.h"

#include <algorithm>
#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "tests/support/text.h"

namespace test_support
{
namespace
{
uint16_t local_port_of(int fd)
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) < 0) {
        return 0;
    }
    switch (address.ss_family) {
    case AF_INET:
        return ntohs(reinterpret_cast<sockaddr_in *>(&address)->sin_port);
    case AF_INET6:
        return ntohs(reinterpret_cast<sockaddr_in6 *>(&address)->sin6_port);
    default:
        return 0;
    }
}

bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}
} // namespace

Daemon::Daemon(const DaemonOptions &options)
    : log_(open(place_.path("oched.log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600))
{
    ProcessOptions process;
    process.arguments = options.under;
    for (const auto &words :
         {std::vector<std::string>{oched_path(), "--foreground", "--socket", place_.socket_path(), "--method",
                                   method_under_test(), "--log-level", options.log_level},
          options.arguments}) {
        process.arguments.insert(process.arguments.end(), words.begin(), words.end());
    }
    process.output = log_.get();
    process.error = log_.get();
    process.descriptors = options.descriptors;
    process_ = std::make_unique<Process>(process);
    const auto serves = [&] {
        const auto &more = options.arguments;
        const auto elsewhere = std::find(more.begin(), more.end(), "--log-file");
        const std::string text = elsewhere == more.end() ? log() : contents_of(*std::next(elsewhere));
        return place_.is_served() && test_support::count_lines(text, "event=serving") > 0;
    };
    eventually([&] { return serves() || process_->wait(std::chrono::milliseconds(0)); },
               options.under.empty() ? patience : much_patience);
    if (!serves()) {
        throw std::runtime_error("oched does not serve; its log:\n" + log());
    }
    fresh_ = descriptors_of(pid());
}

Daemon::~Daemon()
{
    if (!waited_) {
        const std::string change = changed_since(fresh_, pid());
        INFO("of the daemon " << change);
        CHECK(change.empty());
        process_->kill(SIGTERM);
        const int status = process_->wait().value_or(-1);
        CHECK(status == 0);
        const bool socket_is_left = std::filesystem::exists(place_.socket_path());
        CHECK_FALSE(socket_is_left);
    }
    const auto complaints = lines_with(log(), "Sanitizer|runtime error:|[Aa]ssert");
    CHECK(complaints.empty());
    if (!complaints.empty()) {
        WARN("the daemon's log:\n" << log());
    }
}

const Place &Daemon::place() const
{
    return place_;
}

pid_t Daemon::pid() const
{
    return process_->pid();
}

void Daemon::kill(int signal) const
{
    process_->kill(signal);
}

std::optional<int> Daemon::wait(std::chrono::milliseconds limit)
{
    const auto status = process_->wait(limit);
    waited_ = waited_ || status;
    return status;
}

std::string Daemon::log() const
{
    return contents_of(place_.path("oched.log"));
}

size_t Daemon::count_lines(const std::string &expression) const
{
    return test_support::count_lines(log(), expression);
}

bool Daemon::logs(const std::string &expression, size_t lines) const
{
    return eventually([&] { return count_lines(expression) >= lines; });
}

size_t Daemon::descriptor_count() const
{
    return test_support::descriptor_count(pid());
}

int Daemon::socket_option(uint16_t port, int level, int name) const
{
    const Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid(), 0)));
    if (!process) {
        throw std::system_error(errno, std::generic_category(), "pidfd_open");
    }
    for (const auto &[number, target] : descriptors_of(pid())) {
        if (target.rfind("socket:", 0) != 0) {
            continue;
        }
        const Descriptor copy(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        if (!copy) {
            throw std::system_error(errno, std::generic_category(), "pidfd_getfd");
        }
        int value = 0;
        socklen_t size = sizeof value;
        if (local_port_of(copy.get()) == port && !is_listening(copy.get()) &&
            getsockopt(copy.get(), level, name, &value, &size) == 0) {
            return value;
        }
    }
    throw std::runtime_error("the daemon has no connection at port " + std::to_string(port));
}

ProcessResult run_daemon(const std::string &socket, const std::vector<std::string> &more, uid_t user)
{
    ProcessOptions options;
    options.arguments = {oched_path(), "--foreground", "--socket", socket, "--method", method_under_test()};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    options.user = user;
    return run(options);
}

Stopped::Stopped(pid_t pid) : pid_(pid)
{
    ::kill(pid_, SIGSTOP);
    eventually([&] { return contents_of("/proc/" + std::to_string(pid_) + "/stat").find(") T") != std::string::npos; });
}

Stopped::~Stopped()
{
    ::kill(pid_, SIGCONT);
}
} // namespace test_support
