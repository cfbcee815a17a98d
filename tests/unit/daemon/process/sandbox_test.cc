// What the filter of system calls denies and what it leaves, seen from inside: each attempt is made in a child that has
// confined itself.
#include <catch2/catch.hpp>

extern "C" {
#include "daemon/engine/engine.h"
#include "daemon/log/log.h"
#include "daemon/log/log_output.h"
#include "daemon/process/sandbox.h"
}

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/support/skip.h"

namespace
{

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
const char *const no_filter = "there is no filter under sanitizers";
#else
const char *const no_filter = access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0
                                  ? nullptr
                                  : "this system has no filters of system calls";
#endif

enum { UNCONFINED = 200, CRASHED = 201 };

// The exit status of a child that has confined itself and then does that; it must not be more than 199.
int confined(const std::function<int()> &act, bool in_territory = false)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        sandbox before = {};
        sandbox_begin(&before);
        _exit(sandbox_filter(in_territory, false) == 0 ? act() : UNCONFINED);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : CRASHED;
}

int make_ring()
{
    io_uring_params parameters{};
    const long fd = syscall(SYS_io_uring_setup, 4, &parameters);
    return fd < 0 ? errno : 0;
}

// 0 or errno, of a call that returns -1 when it fails.
int error_of(long result)
{
    return result == -1 ? errno : 0;
}

int open_socket(int family)
{
    return error_of(socket(family, SOCK_STREAM, 0));
}

struct Attempt {
    const char *what;
    std::function<int()> make;
};

int read_file(const char *path)
{
    return error_of(open(path, O_RDONLY));
}

const Attempt denied[] = {
    {"start a program",
     [] {
         char *const none[] = {nullptr};
         return error_of(execve("/bin/true", none, none));
     }},
    {"fork",
     [] {
         const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
         if (pid == 0)
             _exit(0);
         return error_of(pid);
     }},
    {"be traced", [] { return error_of(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
    {"read a file", [] { return read_file("/etc/passwd"); }},
    {"read its own memory map", [] { return read_file("/proc/self/maps"); }},
    {"read a directory", [] { return error_of(open("/", O_RDONLY | O_DIRECTORY)); }},
    {"write a file other than at its end", [] { return error_of(open("/dev/null", O_WRONLY)); }},
    {"make a file that can be run",
     [] { return error_of(open("/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0700)); }},
    {"append through a symbolic link", [] { return error_of(open("/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0600)); }},
    {"truncate a file",
     [] { return error_of(open("/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_TRUNC, 0600)); }},
    {"look at a file", [] { return error_of(access("/etc/passwd", F_OK)); }},
    {"change a file's mode", [] { return error_of(chmod("/dev/null", 0666)); }},
    {"make a symbolic link", [] { return error_of(symlink("/", "/dev/null/x")); }},
    {"remove a file", [] { return error_of(unlink("/dev/null/x")); }},
    {"rename", [] { return error_of(rename("/dev/null/x", "/dev/null/y")); }},
    {"a Unix-domain socket", [] { return open_socket(AF_UNIX); }},
    {"a netlink socket", [] { return error_of(socket(AF_NETLINK, SOCK_RAW, 0)); }},
    {"a packet socket", [] { return error_of(socket(AF_PACKET, SOCK_RAW, 0)); }},
    {"signal another process", [] { return error_of(kill(getppid(), 0)); }},
    {"signal a thread of another process", [] { return error_of(syscall(SYS_tgkill, getppid(), getppid(), 0)); }},
    {"make a ring of io_uring", make_ring},
    {"use a ring of io_uring", [] { return error_of(syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0)); }},
    {"become another user", [] { return error_of(setuid(geteuid())); }},
    {"memory that can be executed",
     [] {
         return mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
                                                                                                             : 0;
     }},
    {"make memory executable",
     [] {
         void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return error_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
     }},
    {"type on the terminal",
     [] {
         char letter = 'x';
         return error_of(ioctl(0, TIOCSTI, &letter));
     }},
    {"change what the kernel may do with it", [] { return error_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }},
    {"another process's memory", [] { return error_of(syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0)); }},
};

} // namespace

TEST_CASE("behind the filter each of these fails with EPERM, and the process lives on")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    for (const Attempt &attempt : denied) {
        INFO(attempt.what);
        CHECK(confined(attempt.make) == EPERM);
    }
}

TEST_CASE("behind the filter a log that is full is begun anew: renamed where the files are confined, emptied elsewhere")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    for (const bool in_territory : {false, true}) {
        CAPTURE(in_territory);
        char directory[] = "/tmp/oche.XXXXXX";
        REQUIRE(mkdtemp(directory));
        const std::string log = std::string(directory) + "/log";
        const auto size_of = [](const std::string &path) {
            struct stat status = {};
            return stat(path.c_str(), &status) == 0 ? status.st_size : -1;
        };
        const std::string line(99, 'x');
        CHECK(confined(
                  [&] {
                      log_output_limit(LOG_OUTPUT_LEAST);
                      if (log_output_file(log.c_str()))
                          return 1;
                      for (int i = 0; i < 41; i++) {
                          if (!log_output_write((line + "\n").c_str(), 100))
                              return 2;
                      }
                      return 0;
                  },
                  in_territory) == 0);
        CHECK(size_of(log) == 100);
        CHECK(size_of(log + ".1") == (in_territory ? 4000 : -1));
        unlink(log.c_str());
        unlink((log + ".1").c_str());
        CHECK(rmdir(directory) == 0);
    }
}

TEST_CASE("a loop whose ring was made before the filter runs behind it, and no other ring can be made")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    if (engine_method_probe(ENGINE_IO_URING) != 0) {
        SKIP("this system has no io_uring for us");
    }
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        engine *loop = nullptr;
        loop = engine_new(
            ENGINE_IO_URING, [](void *context) { engine_stop(*static_cast<engine **>(context)); }, &loop);
        sandbox before = {};
        sandbox_begin(&before);
        if (!loop || sandbox_filter(false, true) != 0)
            _exit(UNCONFINED);
        engine_wake(loop);
        if (engine_run(loop) != 0)
            _exit(1);
        if (make_ring() != EPERM)
            _exit(2);
        if (syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES, nullptr, 0) != -1 || errno != EPERM)
            _exit(3);
        engine_free(loop);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("threads from before the filter are behind it too")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    const pid_t child = fork();
    if (child == 0) {
        std::atomic<bool> go{false};
        std::atomic<int> error{0};
        std::thread thread([&] {
            while (!go)
                sched_yield();
            error = read_file("/etc/passwd");
        });
        const bool filtered = sandbox_filter(false, false) == 0;
        go = true;
        thread.join();
        _exit(filtered ? error.load() : UNCONFINED);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == EPERM);
}

TEST_CASE("behind the filter the daemon's work goes on")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    char directory[] = "/tmp/oche.XXXXXX";
    REQUIRE(mkdtemp(directory));
    const std::string log = std::string(directory) + "/log";
    const int status = confined([&] {
        int step = 1;
        if (open_socket(AF_INET) != 0 && errno != EAFNOSUPPORT)
            return step;
        step++;
        const int memory = memfd_create("oche", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory < 0 || ftruncate(memory, 4096) < 0 || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
            return step;
        step++;
        if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED)
            return step;
        step++;
        const int bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        uint64_t count = 0;
        const iovec vector{&count, sizeof count};
        int ends[2];
        if (preadv2(bell, &vector, 1, -1, RWF_NOWAIT) != sizeof count || pipe2(ends, O_CLOEXEC) < 0)
            return step;
        step++;
        if (log_output_file(log.c_str()))
            return step;
        log_line(LOG_INFO, "one");
        log_reopen_file();
        log_line(LOG_INFO, "two");
        step++;
        free(malloc(64 << 20));
        return 0;
    });
    CHECK(status == 0);
    CHECK(unlink(log.c_str()) == 0);
    CHECK(rmdir(directory) == 0);
}

TEST_CASE("behind the filter a failed assertion still ends the process")
{
    if (no_filter) {
        SKIP(no_filter);
    }
    const pid_t child = fork();
    if (child == 0) {
        sandbox before = {};
        sandbox_begin(&before); // no core file
        if (sandbox_filter(false, false) == 0)
            abort();
        _exit(UNCONFINED);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
}
