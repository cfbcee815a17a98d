// What the daemon gives up after it has started, and whom it lets in.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/others.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Why the daemon has no filter here, or null.
const char *why_no_filter()
{
    if (is_sanitized) {
        return "there is no filter under sanitizers";
    }
    return access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0 ? nullptr
                                                                       : "this system has no filters of system calls";
}

// The status files of all threads of a process: those of which so many lines match, and all.
std::pair<size_t, size_t> threads_with(pid_t pid, const std::string &line, size_t lines)
{
    size_t with = 0;
    size_t all = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        all++;
        with += count_lines(contents_of(entry.path() / "status"), line) == lines;
    }
    return {with, all};
}

void check_all_threads(pid_t pid, const std::string &line, size_t lines = 1)
{
    CAPTURE(line);
    const auto [with, all] = threads_with(pid, line, lines);
    CHECK(all >= 2);
    CHECK(with == all);
}

sockaddr_un address_of(const std::string &path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

// The one that holds the lock.
pid_t server_of(const std::string &socket)
{
    return atoi(contents_of(socket + ".lock").c_str());
}

// In a thread for which, and for whose children, that system call is not there. A daemon that it starts lives as long
// as the thread.
void in_thread_without(long call, const std::function<void()> &act)
{
    std::async(std::launch::async, [&] {
        sock_filter program[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog filter{sizeof program / sizeof program[0], program};
        REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
        act();
    }).get();
}

// Whether a process of that user can say hello at the socket.
bool is_let_in(const std::string &socket, uid_t user)
{
    const pid_t child = fork();
    if (child == 0) {
        if (user != geteuid() &&
            (setgroups(0, nullptr) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0)) {
            _exit(3);
        }
        int code = 2;
        try {
            const Wire wire(socket);
            code = wire.ask(hello_frame()) ? 0 : 1;
        } catch (...) {
        }
        _exit(code);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) < 3);
    return WEXITSTATUS(status) == 0;
}

// A daemon of another user's, made with --user, with a directory of its own, and a program that the user may run.
struct DaemonOfNobody {
    DaemonOfNobody() : directory(place.path("nobody")), socket(directory + "/oched.sock"), log(directory + "/log")
    {
        chmod(place.path("").c_str(), 0711);
        std::filesystem::create_directory(directory);
        chmod(directory.c_str(), 0700);
        REQUIRE(chown(directory.c_str(), nobody, nobody) == 0);
        const std::string program = place.path("oched-for-all");
        std::filesystem::copy_file(oched_path(), program);
        chmod(program.c_str(), 0755);
        ProcessOptions options;
        options.arguments = {program, "--foreground", "--user", "65534",    "--socket",
                             socket,  "--log-file",   log,      "--method", method_under_test()};
        // Who has become another user may not be looked into, not even by its own LeakSanitizer.
        options.environment = {"LSAN_OPTIONS=detect_leaks=0"};
        process = std::make_unique<Process>(options);
        REQUIRE(logs("event=confined"));
    }
    ~DaemonOfNobody()
    {
        process->kill(SIGTERM);
        CHECK(process->wait() == 0);
        CHECK_FALSE(std::filesystem::exists(socket));
    }

    bool logs(const std::string &expression) const
    {
        return eventually([&] { return count_lines(contents_of(log), expression) > 0; });
    }

    const Place place;
    const std::string directory;
    const std::string socket;
    const std::string log;
    std::unique_ptr<Process> process;
};
} // namespace

TEST_CASE("every thread of the daemon is behind a filter of system calls, and the log says so")
{
    if (const char *why = why_no_filter()) {
        SKIP(why);
    }
    DaemonOptions options;
    options.arguments = {"--workers", "3"};
    const Daemon daemon(options);
    REQUIRE(daemon.logs(" info event=confined .* seccomp=yes"));
    check_all_threads(daemon.pid(), "^Seccomp:\t2$");
}

TEST_CASE("--no-seccomp leaves out the filter and nothing else, and the log says so")
{
    DaemonOptions options;
    options.arguments = {"--no-seccomp"};
    const Daemon daemon(options);
    REQUIRE(daemon.logs(" info event=confined .* seccomp=no"));
    check_all_threads(daemon.pid(), "^NoNewPrivs:\t1$");
    const bool inherited = count_lines(contents_of("/proc/self/status"), "^Seccomp:\t2$") > 0;
    if (!inherited) {
        check_all_threads(daemon.pid(), "^Seccomp:\t0$");
    }
    Isolate isolate;
    isolate.start();
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("what the system cannot do for its confinement the daemon does without, and says so")
{
    struct Lack {
        long call;
        std::string said;
    };
    const std::vector<Lack> lacks{
        {SYS_seccomp, " warning event=not-confined what=seccomp error="},
        {SYS_landlock_create_ruleset, " warning event=not-confined what=landlock error="},
        {SYS_close_range, " warning event=no-respawner error="},
    };
    if (is_sanitized) {
        SKIP("there is no filter under sanitizers");
    }
    for (const Lack &lack : lacks) {
        CAPTURE(lack.said);
        in_thread_without(lack.call, [&] {
            Daemon daemon;
            CHECK(daemon.logs(lack.said));
            CHECK(daemon.logs(" info event=confined "));
            CHECK(daemon.count_lines("event=confined .* landlock=yes seccomp=yes") == (lack.call == SYS_close_range));
            {
                Isolate isolate;
                isolate.start();
                CHECK(connected(isolate).handle > 0);
            }
            daemon.kill(SIGKILL); // after which nobody may hold the lock
            daemon.wait();
            CHECK(eventually([&] { return daemon.place().respawners().empty(); }));
        });
    }
}

TEST_CASE("no thread of the daemon can get new privileges, and no core file tells what it knew")
{
    const Daemon daemon;
    REQUIRE(daemon.logs("event=confined .* no-new-privileges=yes core-files=no"));
    check_all_threads(daemon.pid(), "^NoNewPrivs:\t1$");
    CHECK(count_lines(contents_of("/proc/" + std::to_string(daemon.pid()) + "/limits"), "^Max core file size +0 +0 ") ==
          1);
}

TEST_CASE("a daemon of root has the capability to bind low ports and no other, and says so; others have none")
{
    const Daemon daemon;
    REQUIRE(daemon.logs("event=confined"));
    const bool may_bind = count_lines(contents_of("/proc/self/status"), "^CapPrm:\t[0-9a-f]+[4-7c-f][0-9a-f]{2}$") > 0;
    const std::string held = may_bind ? "0000000000000400" : "0000000000000000";
    CHECK(daemon.count_lines(std::string("event=confined .* capabilities=") +
                             (may_bind ? "net_bind_service" : "none")) == 1);
    check_all_threads(daemon.pid(), "^CapPrm:\t" + held + "$");
    check_all_threads(daemon.pid(), "^CapEff:\t" + held + "$");
    check_all_threads(daemon.pid(), "^CapInh:\t0000000000000000$");
    check_all_threads(daemon.pid(), "^CapAmb:\t0000000000000000$");
    if (geteuid() == 0) {
        check_all_threads(daemon.pid(), "^CapBnd:\t0000000000000[04]00$");
    }
}

TEST_CASE("a daemon of root binds ports below 1024")
{
    if (geteuid() != 0) {
        SKIP("only root may bind them");
    }
    const Daemon daemon;
    REQUIRE(daemon.logs("event=confined"));
    Isolate isolate;
    isolate.start();
    int64_t result = TCP_ERR_BIND_FAILED;
    for (uint16_t port = 700; port < 1024 && result == TCP_ERR_BIND_FAILED; port++) {
        result = isolate.result(isolate.listen({loopback4(81), port}));
    }
    CHECK(result > 0);
}

TEST_CASE("--user makes the daemon that user's: its files, its groups, its clients")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const DaemonOfNobody daemon;
    const pid_t pid = daemon.process->pid();
    CHECK(daemon.logs("event=confined user=65534 .* capabilities=net_bind_service"));
    check_all_threads(pid, "^Uid:\t65534\t65534\t65534\t65534$");
    check_all_threads(pid, "^Gid:\t65534\t65534\t65534\t65534$");
    check_all_threads(pid, "^Groups:[\t ]*$");
    check_all_threads(pid, "^CapPrm:\t0000000000000400$");
    check_all_threads(pid, "^CapEff:\t0000000000000400$");
    for (const std::string &file : {daemon.socket, daemon.socket + ".lock", daemon.log}) {
        CAPTURE(file);
        struct stat status = {};
        REQUIRE(stat(file.c_str(), &status) == 0);
        CHECK(status.st_uid == nobody);
        CHECK((status.st_mode & 07777) == 0600);
    }
    CHECK(is_let_in(daemon.socket, nobody));
}

TEST_CASE("the successor of a daemon with --user is that user's, and has the same capability, too")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const DaemonOfNobody daemon;
    daemon.process->kill(SIGUSR2);
    REQUIRE(daemon.logs("event=inherited"));
    CHECK(daemon.process->wait() == 0);
    const pid_t successor = server_of(daemon.socket);
    REQUIRE(successor != daemon.process->pid());
    REQUIRE(successor > 0);
    CHECK(eventually([&] {
        return count_lines(contents_of(daemon.log), "event=confined user=65534 .* capabilities=net_bind_service") == 2;
    }));
    check_all_threads(successor, "^Uid:\t65534\t65534\t65534\t65534$");
    check_all_threads(successor, "^Cap(Prm|Eff):\t0000000000000400$", 2);
    check_all_threads(successor, "^Cap(Inh|Amb):\t0000000000000000$", 2);
    CHECK(is_let_in(daemon.socket, nobody));
    CHECK_FALSE(is_let_in(daemon.socket, 0));
    send_signal(successor, SIGTERM);
    CHECK(eventually([&] { return !is_alive(successor); }));
}

TEST_CASE("a daemon with --user does not serve root, who started it")
{
    if (const char *why = why_no_others()) {
        SKIP(why);
    }
    const DaemonOfNobody daemon;
    CHECK_FALSE(is_let_in(daemon.socket, 0));
    CHECK(daemon.logs(" warning session=.* event=refused .*uid=0 why=\"it belongs to another user\""));
}

TEST_CASE("--user takes names, says which user there is not, and needs root")
{
    const Place place;
    const ProcessResult unknown = run_daemon(place.socket_path(), {"--user", "no-such-user"});
    CHECK(unknown.status == 1);
    CHECK(contains(unknown.error, "no-such-user"));
    for (const char *number : {"-1", "4294967295", "65534x", ""}) {
        CAPTURE(number);
        CHECK(run_daemon(place.socket_path(), {"--user", number}).status == 1);
    }
    if (geteuid() != 0) {
        const ProcessResult other = run_daemon(place.socket_path(), {"--user", "root"});
        CHECK(other.status == 1);
        CHECK(contains(other.error, "root"));
        return;
    }
    // Becoming who one is is no change.
    DaemonOptions options;
    options.arguments = {"--user", "root"};
    const Daemon daemon(options);
    CHECK(is_let_in(daemon.place().socket_path(), 0));
}

TEST_CASE("a client that has ended by the time the daemon looks is not let in")
{
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    const bool there = getsockopt(ends[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &size) == 0;
    close(ends[0]);
    close(ends[1]);
    close(pidfd);
    if (!there) {
        SKIP("the kernel has no SO_PEERPIDFD");
    }
    const Daemon daemon;
    REQUIRE(daemon.logs("event=confined"));
    {
        const Stopped stopped(daemon.pid());
        const pid_t child = fork();
        if (child == 0) {
            const sockaddr_un address = address_of(daemon.place().socket_path());
            const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
            _exit(connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 ? 0 : 1);
        }
        int status = -1;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    CHECK(daemon.logs(" warning session=.* event=refused .*why=\"it has ended\""));
    CHECK(is_let_in(daemon.place().socket_path(), geteuid()));
}
