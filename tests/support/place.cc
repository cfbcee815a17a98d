#include "tests/support/place.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>

#include "tests/support/descriptor.h"
#include "tests/support/patience.h"
#include "tests/support/process.h"
#include "tests/support/report.h"
#include "tests/support/text.h"

namespace test_support
{
namespace
{
std::string variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

// Before any test changes it.
const std::string oched_from_environment = variable("OCHE_DAEMON");

std::string make_directory()
{
    // A socket's path has room for 107 characters.
    std::string root = variable("TEST_TMPDIR");
    if (root.empty() || root.size() > 70) {
        root = "/tmp";
    }
    std::string path = root + "/oche.XXXXXX";
    if (!mkdtemp(path.data())) {
        throw std::system_error(errno, std::generic_category(), path);
    }
    return path;
}

// With this directory in their command lines.
std::vector<pid_t> processes_of_oched(const std::string &directory)
{
    std::vector<pid_t> found;
    for (const auto &entry : std::filesystem::directory_iterator("/proc")) {
        const auto command = contents_of(entry.path() / "cmdline");
        if (command.find("oched") < command.find('\0') && command.find(directory) != std::string::npos) {
            found.push_back(std::stoi(entry.path().filename()));
        }
    }
    return found;
}

bool is_starter(pid_t pid)
{
    return contents_of("/proc/" + std::to_string(pid) + "/comm") == "oched-respawner\n";
}

void end_process(pid_t pid)
{
    send_signal(pid, SIGTERM);
    if (!eventually([&] { return !is_alive(pid); })) {
        report_failure("the daemon that the library started does not leave on SIGTERM");
        kill(pid, SIGKILL);
    }
}
} // namespace

std::string method_under_test()
{
    const std::string method = variable("OCHE_TEST_METHOD");
    return method.empty() ? "epoll" : method;
}

std::string lane_under_test()
{
    return variable("OCHE_LANE") == "plain" ? "plain" : "memory";
}

std::string oched_path()
{
    return oched_from_environment.empty() ? runfile("daemon/oched") : oched_from_environment;
}

Place::Place(const std::string &program)
    : directory_(make_directory()), program_(program.empty() ? oched_path() : program)
{
    start_with({});
    setenv("OCHE_SOCKET", socket_path().c_str(), 1);
    setenv("OCHE_DAEMON", path("oched").c_str(), 1);
}

Place::~Place()
{
    if (const auto pid = server()) {
        end_process(*pid);
    }
    for (const pid_t pid : processes_of_oched(directory_)) { // successors that nobody knows of
        if (!is_starter(pid)) {
            end_process(pid);
        }
    }
    unsetenv("OCHE_SOCKET");
    unsetenv("OCHE_DAEMON");
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

std::string Place::path(const std::string &name) const
{
    return directory_ + "/" + name;
}

std::string Place::socket_path() const
{
    return path("oched.sock");
}

bool Place::is_served() const
{
    // Flags 00010000: it accepts connections.
    return count_lines(contents_of("/proc/net/unix"), "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* " + socket_path() + "$") > 0;
}

std::optional<pid_t> Place::server() const
{
    const pid_t holder = atoi(contents_of(socket_path() + ".lock").c_str());
    const std::vector<pid_t> ours = processes_of_oched(directory_);
    if (std::find(ours.begin(), ours.end(), holder) != ours.end() && is_alive(holder)) {
        return holder;
    }
    const Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, socket_path().c_str(), sizeof address.sun_path - 1);
    ucred peer{};
    socklen_t size = sizeof peer;
    if (connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0 ||
        getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        return {};
    }
    return peer.pid;
}

std::string Place::started_log() const
{
    return contents_of(path("started.log"));
}

size_t Place::starts() const
{
    return count_lines(contents_of(path("starts")), "started");
}

size_t Place::daemons() const
{
    const std::vector<pid_t> all = processes_of_oched(directory_);
    return all.size() - static_cast<size_t>(std::count_if(all.begin(), all.end(), is_starter));
}

std::vector<pid_t> Place::respawners() const
{
    std::vector<pid_t> found = processes_of_oched(directory_);
    found.erase(std::remove_if(found.begin(), found.end(), [](pid_t pid) { return !is_starter(pid); }), found.end());
    return found;
}

void Place::start_with(const std::vector<std::string> &arguments) const
{
    std::string all;
    for (const auto &argument : arguments) {
        all += " '" + argument + "'";
    }
    std::ofstream(path("oched")) << "#!/bin/sh\n"
                                 << "echo started >>'" << path("starts") << "'\n"
                                 << "exec '" << program_ << "' \"$@\" --method " << method_under_test()
                                 << " --log-level debug --log-file '" << path("started.log") << "'" << all << "\n";
    chmod(path("oched").c_str(), 0700);
}
} // namespace test_support
