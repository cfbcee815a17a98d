#include "tests/support/process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "tests/support/descriptor.h"
#include "tests/support/sanitized.h"

namespace test_support
{
namespace
{
std::vector<std::string> environment_with(const std::vector<std::string> &changes)
{
    std::vector<std::string> result;
    for (char **entry = environ; *entry; entry++) {
        const std::string name(*entry, strcspn(*entry, "="));
        bool changed = false;
        for (const auto &change : changes) {
            changed = changed || change.substr(0, change.find('=')) == name;
        }
        if (!changed) {
            result.emplace_back(*entry);
        }
    }
    for (const auto &change : changes) {
        if (change.find('=') != std::string::npos) {
            result.push_back(change);
        }
    }
    return result;
}

std::vector<char *> pointers_to(std::vector<std::string> &strings)
{
    std::vector<char *> result;
    for (auto &string : strings) {
        result.push_back(string.data());
    }
    result.push_back(nullptr);
    return result;
}

// In the child, between fork and exec: only what is safe with the locks of other threads held.
[[noreturn]] void become(const ProcessOptions &options, pid_t parent, char *const *arguments, char *const *environment)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(126);
    }
    const int streams[] = {options.input, options.output, options.error};
    for (int stream = 0; stream < 3; stream++) {
        if (streams[stream] >= 0 && dup2(streams[stream], stream) < 0) {
            _exit(126);
        }
    }
    if (options.descriptors) {
        const rlimit limit{options.descriptors, options.descriptors};
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            _exit(126);
        }
    }
    if (options.user && (setresgid(options.user, options.user, options.user) < 0 ||
                         setresuid(options.user, options.user, options.user) < 0)) {
        _exit(126);
    }
    if (options.pending) {
        sigset_t pending;
        sigemptyset(&pending);
        sigaddset(&pending, options.pending);
        sigprocmask(SIG_BLOCK, &pending, nullptr);
        kill(getpid(), options.pending);
    }
    signal(SIGXFSZ, SIG_DFL); // programs in Python ignore it, and so does what they start
    execve(arguments[0], arguments, environment);
    _exit(127);
}

// The value of a line "NAME:   VALUE ..." of a status file.
unsigned long status_value(const std::string &status, const std::string &name)
{
    const size_t start = ("\n" + status).find("\n" + name + ":");
    return start == std::string::npos ? 0 : strtoul(status.c_str() + start + name.size() + 1, nullptr, 10);
}

// The fields of /proc/PID/stat after the name of the program, which may hold spaces; the first is the state.
std::vector<std::string> stat_fields(pid_t pid)
{
    const std::string stat = contents_of("/proc/" + std::to_string(pid) + "/stat");
    std::vector<std::string> fields;
    const size_t name_end = stat.rfind(')');
    if (name_end != std::string::npos) {
        std::istringstream stream(stat.substr(name_end + 1));
        for (std::string field; stream >> field;) {
            fields.push_back(field);
        }
    }
    return fields;
}

std::string contents_of_memory(int fd)
{
    std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
    if (pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
        throw std::system_error(errno, std::generic_category(), "pread");
    }
    return text;
}

// Calls that wait for an event.
constexpr long waiting_calls[] = {
    SYS_epoll_pwait, SYS_io_uring_enter, SYS_pselect6, SYS_ppoll,
#ifdef SYS_epoll_wait // new architectures have the others only
    SYS_epoll_wait,  SYS_select,         SYS_poll,
#endif
};

bool waits(pid_t pid)
{
    const std::string call = contents_of("/proc/" + std::to_string(pid) + "/syscall"); // of its first thread
    return call.empty() || // it cannot be known, or the process is gone
           std::any_of(std::begin(waiting_calls), std::end(waiting_calls),
                       [&](long number) { return call.rfind(std::to_string(number) + " ", 0) == 0; });
}
} // namespace

void send_signal(pid_t pid, int signal)
{
    if (is_thread_sanitized && (signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGUSR2)) {
        eventually([&] { return waits(pid); }, std::chrono::seconds(1));
    }
    ::kill(pid, signal);
}

Process::Process(const ProcessOptions &options)
{
    auto arguments = options.arguments;
    auto environment = environment_with(options.environment);
    const auto argument_pointers = pointers_to(arguments);
    const auto environment_pointers = pointers_to(environment);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
    if (pid_ == 0) {
        become(options, parent, argument_pointers.data(), environment_pointers.data());
    }
}

Process::~Process()
{
    if (!status_) {
        ::kill(pid_, SIGKILL);
        while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
}

pid_t Process::pid() const
{
    return pid_;
}

void Process::kill(int signal) const
{
    if (!status_) {
        send_signal(pid_, signal);
    }
}

std::optional<int> Process::wait(std::chrono::milliseconds limit)
{
    int status = 0;
    if (!status_ && eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, limit)) {
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return status_;
}

ProcessResult run(ProcessOptions options)
{
    const Descriptor output(memfd_create("stdout", MFD_CLOEXEC));
    const Descriptor error(memfd_create("stderr", MFD_CLOEXEC));
    options.output = output.get();
    options.error = error.get();
    Process process(options);
    ProcessResult result;
    result.status = process.wait().value_or(-1);
    result.output = contents_of_memory(output.get());
    result.error = contents_of_memory(error.get());
    return result;
}

std::string runfile(const std::string &path)
{
    std::vector<std::string> candidates{path, "bazel-bin/" + path};
    const char *root = getenv("TEST_SRCDIR");
    const char *workspace = getenv("TEST_WORKSPACE");
    if (root && workspace) {
        candidates.insert(candidates.begin(), std::string(root) + "/" + workspace + "/" + path);
    }
    for (const auto &candidate : candidates) {
        if (access(candidate.c_str(), F_OK) == 0) {
            return std::filesystem::absolute(candidate);
        }
    }
    throw std::runtime_error("the test needs " + path + ", which is not there; run it with Bazel");
}

bool is_alive(pid_t pid)
{
    const auto fields = stat_fields(pid);
    if (fields.size() < 18 || (fields[0] != "Z" && fields[0] != "X")) {
        return fields.size() >= 18;
    }
    // As long as other threads than the first are ending, the process's files are open and locked.
    return std::stoul(fields[17]) > 1;
}

bool is_close_on_exec(pid_t pid, int descriptor)
{
    const auto info = contents_of("/proc/" + std::to_string(pid) + "/fdinfo/" + std::to_string(descriptor));
    const size_t flags = info.find("flags:");
    return flags != std::string::npos && (strtoul(info.c_str() + flags + 6, nullptr, 8) & O_CLOEXEC);
}

std::chrono::milliseconds cpu_time_of(pid_t pid)
{
    const auto fields = stat_fields(pid);
    if (fields.size() < 13) {
        return {};
    }
    const unsigned long ticks = std::stoul(fields[11]) + std::stoul(fields[12]);
    return std::chrono::milliseconds(ticks * 1000 / static_cast<unsigned long>(sysconf(_SC_CLK_TCK)));
}

size_t resident_bytes_of(pid_t pid)
{
    return status_value(contents_of("/proc/" + std::to_string(pid) + "/status"), "VmRSS") * 1024;
}

unsigned long context_switches_of(pid_t pid)
{
    unsigned long sum = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        const auto status = contents_of(entry.path() / "status");
        sum += status_value(status, "voluntary_ctxt_switches") + status_value(status, "nonvoluntary_ctxt_switches");
    }
    return sum;
}

std::string contents_of(const std::string &path)
{
    // Not a stream: those throw when a process goes away while its file in /proc is read.
    const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    char block[16 * 1024];
    for (ssize_t count = 0; (count = read(fd.get(), block, sizeof block)) > 0;) {
        text.append(block, static_cast<size_t>(count));
    }
    return text;
}
} // namespace test_support
