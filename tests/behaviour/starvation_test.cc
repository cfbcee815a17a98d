// The daemon while the system gives it no descriptor, though it was promised more.
#include <catch2/catch.hpp>

#include <cerrno>
#include <future>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"

using namespace test_support;

namespace
{
// While it lives, the process keeps the descriptors that it has, and gets no others.
class Starved
{
  public:
    explicit Starved(pid_t pid) : pid_(pid)
    {
        rlimit none{};
        if (prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_) == 0) {
            none = {STDERR_FILENO + 1, before_.rlim_max};
        }
        if (!none.rlim_max || prlimit(pid_, RLIMIT_NOFILE, &none, nullptr) < 0) {
            throw std::system_error(errno, std::generic_category(), "prlimit");
        }
    }
    ~Starved()
    {
        prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr);
    }
    Starved(const Starved &) = delete;
    Starved &operator=(const Starved &) = delete;

  private:
    pid_t pid_;
    rlimit before_{};
};
} // namespace

TEST_CASE("a daemon that gets no descriptor refuses connect and listen, says why, and serves what there is")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const Pair pair = connected(isolate);
    const PeerListener target;
    {
        const Starved starved(daemon.pid());
        const Outcome connect = isolate.outcome(isolate.connect({target.address(), target.port()}));
        CHECK(connect.result == TCP_ERR_CONNECT_FAILED);
        CHECK(connect.os_error == EMFILE);
        const Outcome listen = isolate.outcome(isolate.listen({loopback4(), 0}));
        CHECK(listen.result == TCP_ERR_LISTEN_FAILED);
        CHECK(listen.os_error == EMFILE);
        CHECK(isolate.value(isolate.write(pair.handle, "still here")) == 10);
        CHECK(pair.peer.receive(10) == "still here");
    }
    CHECK(isolate.value(isolate.connect({target.address(), target.port()})) > 0);
    CHECK(listening(isolate) > 0);
}

TEST_CASE("accepting pauses while the daemon gets no descriptor, says so in the log, and goes on by itself")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Request accept = isolate.accept(listener);
    const Peer peer = [&] {
        const Starved starved(daemon.pid());
        Peer waiting = Peer::connect(Isolate::local(listener));
        CHECK(daemon.logs("event=accept-paused"));
        CHECK(isolate.is_pending(accept));
        return waiting;
    }();
    const int64_t handle = isolate.value(accept);
    peer.send("late");
    CHECK(isolate.read_exactly(handle, 4) == "late");
}

TEST_CASE("a client that comes while the daemon gets no descriptor is taken in when it gets some again")
{
    const Daemon daemon;
    Isolate isolate;
    std::future<int64_t> starting;
    {
        const Starved starved(daemon.pid());
        starting = std::async(std::launch::async, [&] { return isolate.init(); });
        CHECK(daemon.logs("event=accept-client"));
    }
    CHECK(starting.get() == 0);
    CHECK(connected(isolate).handle > 0);
}
