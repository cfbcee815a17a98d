// What the library must not do to the process that it is a guest in. The library starts the daemon here, because
// that is when most could go wrong.
#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <poll.h>
#include <pthread.h>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/support/capture.h"
#include "tests/support/descriptor_table.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/place.h"
#include "tests/support/process.h"

using namespace test_support;

namespace
{
// The handlers, flags and masks of all signals, and the mask of this thread.
std::string signal_state()
{
    std::string state;
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action = {};
        sigaction(signal, nullptr, &action);
        state += std::to_string(signal) + ": " + std::to_string(reinterpret_cast<uintptr_t>(action.sa_handler)) + " " +
                 std::to_string(action.sa_flags);
        for (int other = 1; other < NSIG; other++) {
            state += sigismember(&action.sa_mask, other) == 1 ? 'x' : '.';
        }
    }
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (int signal = 1; signal < NSIG; signal++) {
        state += sigismember(&mask, signal) == 1 ? 'x' : '.';
    }
    return state;
}

void use(Isolate &isolate)
{
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    pair.peer.send("in");
    CHECK(isolate.outcome(read).text() == "in");
    CHECK(isolate.result(isolate.write(pair.handle, "out")) == 3);
    CHECK(pair.peer.receive(3) == "out");
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
}

// Kills the daemon, and waits until it is gone and the isolate has learnt of it.
void kill_daemon(pid_t server, Isolate &isolate)
{
    const Request accept = isolate.accept(listening(isolate));
    kill(server, SIGKILL);
    CHECK(eventually([&] { return !is_alive(server); }));
    CHECK(isolate.result(accept) == TCP_ERR_DAEMON_LOST);
}

std::atomic<int> child_signals{0};

void count_child_signal(int)
{
    child_signals++;
}

// The process that serves is no child, and is told apart from this process's threads by that.
int wait_for_any_child()
{
    return waitpid(-1, nullptr, WNOHANG) < 0 ? errno : 0;
}
} // namespace

TEST_CASE("the library changes no signal disposition and no signal mask")
{
    const Place place;
    const std::string before = signal_state();
    Isolate isolate;
    isolate.start();
    CHECK(signal_state() == before);
    use(isolate);
    CHECK(signal_state() == before);
    CHECK(isolate.destroy() == 0);
    CHECK(signal_state() == before);
}

TEST_CASE("signals of the process are never handled by a thread of the library")
{
    const Place place;
    std::set<std::string> before;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
        before.insert(entry.path().filename());
    }
    Isolate isolate;
    isolate.start();
    use(isolate); // a thread that has not run yet still has the mask that libc gave it
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
        if (before.count(entry.path().filename())) {
            continue;
        }
        const std::string status = contents_of(entry.path() / "status");
        const size_t blocked = status.find("SigBlk:");
        REQUIRE(blocked != std::string::npos);
        const auto mask = std::stoull(status.substr(blocked + 7), nullptr, 16);
        for (const int signal : {SIGCHLD, SIGALRM, SIGINT, SIGTERM, SIGUSR1, SIGPROF, SIGWINCH}) {
            CAPTURE(signal);
            CHECK((mask >> (signal - 1) & 1) == 1);
        }
    }
}

TEST_CASE("the host may ignore SIGPIPE or not, a reset connection does not kill it")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    Pair pair = connected(isolate);
    pair.peer.reset();
    CHECK(eventually([&] { return isolate.result(isolate.write(pair.handle, "x")) < 0; }));
    // Nor does a daemon that dies in the middle of a request.
    const auto server = place.server();
    REQUIRE(server);
    kill(*server, SIGKILL);
    for (int i = 0; i < 100; i++) {
        isolate.outcome(isolate.write(pair.handle, std::string(100'000, 'x')));
    }
}

TEST_CASE("every descriptor that the library opens is close-on-exec, and a program that the host starts has none")
{
    const Place place;
    const auto before = descriptors_of(getpid());
    Isolate isolate;
    isolate.start();
    use(isolate);
    size_t opened = 0;
    for (const auto &[descriptor, target] : descriptors_of(getpid())) {
        if (!before.count(descriptor)) {
            CAPTURE(descriptor, target);
            CHECK(is_close_on_exec(getpid(), descriptor));
            opened++;
        }
    }
    CHECK(opened > 0);
    CHECK(isolate.destroy() == 0);
    CHECK(eventually([&] { return descriptors_of(getpid()).size() <= before.size(); }));
}

TEST_CASE("every descriptor of the daemon is close-on-exec, but for the standard streams")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const int64_t listener = listening(isolate);
    const Pair taken = accepted(isolate, listener);
    const auto server = place.server();
    REQUIRE(server);
    // What is just being closed is in the list and has no flags any more.
    std::string inheritable;
    CHECK(eventually([&] {
        inheritable.clear();
        for (const auto &[descriptor, target] : descriptors_of(*server)) {
            if (descriptor > STDERR_FILENO && !is_close_on_exec(*server, descriptor)) {
                inheritable += target + " ";
            }
        }
        return inheritable.empty();
    }));
    CHECK(inheritable.empty());
}

TEST_CASE("a daemon that the library starts inherits nothing of the host")
{
    const Place place;
    int ends[2];
    REQUIRE(pipe(ends) == 0); // not close-on-exec
    const Descriptor output(ends[0]);
    Descriptor input(ends[1]);
    Isolate isolate;
    isolate.start();
    const auto server = place.server();
    REQUIRE(server);

    // The end of the pipe comes when nobody holds its input any more.
    input.reset();
    pollfd waited{output.get(), POLLIN, 0};
    CHECK(poll(&waited, 1, static_cast<int>(patience.count())) == 1);
    CHECK((waited.revents & POLLHUP));

    const auto inherited = descriptors_of(*server);
    for (int stream = 0; stream <= STDERR_FILENO; stream++) {
        CAPTURE(stream);
        CHECK(inherited.at(stream) == "/dev/null");
    }
    CHECK(getsid(*server) != getsid(0));
    CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(*server) + "/cwd") == "/");
    const std::string status = contents_of("/proc/" + std::to_string(*server) + "/status");
    CHECK(status.find("SigBlk:\t0000000000000000") != std::string::npos);
}

TEST_CASE("a daemon that was started automatically leaves no child to wait for, and no SIGCHLD comes")
{
    const Place place;
    struct sigaction counting = {};
    struct sigaction before = {};
    counting.sa_handler = count_child_signal;
    sigaction(SIGCHLD, &counting, &before);
    child_signals = 0;
    {
        Isolate isolate;
        isolate.start();
        CHECK(place.starts() == 1);
        CHECK(wait_for_any_child() == ECHILD);
        use(isolate);
        const auto server = place.server();
        REQUIRE(server);
        kill_daemon(*server, isolate);
        use(isolate);
        CHECK(place.starts() == 2);
    }
    std::this_thread::sleep_for(moment);
    CHECK(wait_for_any_child() == ECHILD);
    CHECK(child_signals == 0);
    sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("a host that ignores SIGCHLD can start the daemon too, and one that has children keeps them")
{
    const Place place;
    Process child({{"/bin/sleep", "60"}, {}, -1, -1, -1, 0, 0});
    struct sigaction ignoring = {};
    struct sigaction before = {};
    ignoring.sa_handler = SIG_IGN;
    sigaction(SIGCHLD, &ignoring, &before);
    Isolate isolate;
    const int64_t result = isolate.init();
    sigaction(SIGCHLD, &before, nullptr);
    CHECK(result == 0);
    use(isolate);
    child.kill(SIGTERM);
    CHECK(child.wait() == 128 + SIGTERM);
}

TEST_CASE("the library writes nothing to the host's standard streams")
{
    const Place place;
    const Capture output(STDOUT_FILENO);
    const Capture error(STDERR_FILENO);
    {
        Isolate isolate;
        CHECK(isolate.init() == 0);
        use(isolate);
        const auto server = place.server();
        kill_daemon(server.value(), isolate);
        use(isolate);
        isolate.result(isolate.read(12345));
        setenv("OCHE_SOCKET", "/nonexistent/directory/oched.sock", 1);
        Isolate failing;
        CHECK(failing.init() < 0);
    }
    CHECK(output.text().empty());
    CHECK(error.text().empty());
    setenv("OCHE_SOCKET", place.socket_path().c_str(), 1);
}

TEST_CASE("with OCHE_LOG=1 the library tells on standard error how it finds and starts the daemon")
{
    const Place place;
    const Capture output(STDOUT_FILENO);
    const Capture error(STDERR_FILENO);
    setenv("OCHE_LOG", "1", 1);
    {
        Isolate isolate;
        CHECK(isolate.init() == 0);
    }
    unsetenv("OCHE_LOG");
    CHECK(output.text().empty());
    CHECK(error.text().find(place.socket_path()) != std::string::npos);
}
