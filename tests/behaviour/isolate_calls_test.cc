// What oche.h has for isolates beyond the contract: connects with a limit, connects that are given up, and options that
// nobody waits for. The guard of a session is in guard_test.cc, what is enabled in extensions_test.cc.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
constexpr auto at_once = std::chrono::milliseconds(0);

Endpoint endpoint(const FullListener &listener)
{
    return {listener.address(), listener.port()};
}

// Completes when more than `ms` milliseconds have gone by in the daemon.
void wait_in_daemon(Isolate &isolate, const FullListener &full, int64_t ms)
{
    CHECK(isolate.result(isolate.connect_within(endpoint(full), ms)) == TCP_ERR_TIMED_OUT);
}

// Kills the daemon, and waits until the isolate has learnt of it.
void kill_daemon(Daemon &daemon, Isolate &isolate)
{
    const Request accept = isolate.accept(listening(isolate));
    daemon.kill(SIGKILL);
    REQUIRE(daemon.wait() == 128 + SIGKILL);
    REQUIRE(isolate.result(accept) == TCP_ERR_DAEMON_LOST);
}

// From now on a daemon that the library starts does not come before it may.
class Gate
{
  public:
    explicit Gate(const Place &place)
    {
        const std::string pipe = place.path("gate");
        const std::string script = place.path("oched-behind-the-gate");
        mkfifo(pipe.c_str(), 0600);
        pipe_ = Descriptor(::open(pipe.c_str(), O_RDWR | O_CLOEXEC));
        std::ofstream(script) << "#!/bin/sh\nread word <'" << pipe << "' || exit 1\nexec '" << place.path("oched")
                              << "' \"$@\"\n";
        chmod(script.c_str(), 0700);
        setenv("OCHE_DAEMON", script.c_str(), 1);
    }
    void open() const
    {
        REQUIRE(write(pipe_.get(), "go\n", 3) == 3);
    }

  private:
    Descriptor pipe_;
};

void check_works(Isolate &isolate, const Pair &pair)
{
    CHECK(isolate.result(isolate.write(pair.handle, "ping")) == 4);
    CHECK(pair.peer.receive(4) == "ping");
    pair.peer.send("pong");
    CHECK(isolate.read_exactly(pair.handle, 4) == "pong");
}
} // namespace

// ---- connects with a limit ----

TEST_CASE("a connect with a limit completes with TIMED_OUT when that is over, and not before")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const FullListener full;
    const Request unlimited = isolate.connect_within(endpoint(full), 0);
    for (const int64_t limit : {50, 300}) {
        const auto time = time_of([&] {
            const Outcome outcome = isolate.outcome(isolate.connect_within(endpoint(full), limit));
            CHECK(outcome.result == TCP_ERR_TIMED_OUT);
            CHECK(outcome.os_error == ETIMEDOUT);
        });
        CHECK(time >= std::chrono::milliseconds(limit - 10));
    }
    CHECK(isolate.is_pending(unlimited, at_once));
}

TEST_CASE("a connect that is made within its limit stays connected after it")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const PeerListener listener;
    const int64_t handle = isolate.value(isolate.connect_within({listener.address(), listener.port()}, 500));
    const Pair pair{handle, listener.accept()};
    wait_in_daemon(isolate, full, 600);
    check_works(isolate, pair);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a limit that is negative or does not fit 32 bits is refused with INVALID_ARGUMENT")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    for (const int64_t limit : {int64_t{-1}, INT64_MIN, int64_t{UINT32_MAX} + 1, (int64_t{1} << 32) + 100, INT64_MAX}) {
        CAPTURE(limit);
        const Outcome outcome = isolate.outcome(isolate.connect_within(endpoint(full), limit));
        CHECK(outcome.result == TCP_ERR_INVALID_ARGUMENT);
        CHECK(outcome.refused_at_once);
    }
    const Request longest = isolate.connect_within(endpoint(full), UINT32_MAX);
    CHECK(isolate.is_pending(longest));
}

// ---- connects that are given up ----

TEST_CASE("a cancelled connect completes once with CLOSED, and leaves no socket in the daemon")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const size_t before = daemon.descriptor_count();
    const Request connect = isolate.connect(endpoint(full));
    CHECK(isolate.is_pending(connect));
    CHECK(daemon.descriptor_count() == before + 1);
    CHECK(isolate.cancel(connect) == 0);
    CHECK(isolate.result(connect) == TCP_ERR_CLOSED);
    CHECK(eventually([&] { return daemon.descriptor_count() == before; }));
    CHECK(isolate.cancel(connect) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(connected(isolate).handle > 0);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("cancel ends the connect that it names and no other")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    isolate.start();
    other.start();
    const FullListener full;
    std::vector<Request> connects;
    for (int i = 0; i < 5; i++) {
        connects.push_back(isolate.connect(endpoint(full)));
    }
    const Request same_id = other.made(connects[2].id, other.inside([&] {
        return tcp_connect(connects[2].id, full.address().data(), 4, full.port(), nullptr, 0, 0);
    }));
    for (const size_t i : {2, 0, 4}) {
        CAPTURE(i);
        CHECK(isolate.cancel(connects[i]) == 0);
        CHECK(isolate.result(connects[i]) == TCP_ERR_CLOSED);
    }
    CHECK(isolate.is_pending(connects[1]));
    CHECK(isolate.is_pending(connects[3], at_once));
    CHECK(other.is_pending(same_id, at_once));
}

TEST_CASE("what is no pending request of the isolate, or a close, is not cancelled: INVALID_ARGUMENT")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    isolate.start();
    other.start();
    const PeerListener target;
    const FullListener full;
    const Request made = isolate.connect({target.address(), target.port()});
    const Pair pair{isolate.value(made), target.accept()};
    const Request refused = isolate.connect({loopback4(), free_port()});
    CHECK(isolate.result(refused) == TCP_ERR_CONNECT_FAILED);
    const Request others = other.connect(endpoint(full));
    const Request unknown{isolate.next_id(), 0, false};
    {
        const Stopped stopped(daemon.pid());
        const Request close = isolate.close(pair.handle);
        for (const Request &request : {made, refused, others, unknown, close}) {
            CAPTURE(request.id);
            CHECK(isolate.cancel(request) == TCP_ERR_INVALID_ARGUMENT);
        }
    }
    for (const int64_t id : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
        CHECK(isolate.cancel({id, 0, false}) == TCP_ERR_INVALID_ARGUMENT);
    }
    CHECK(other.is_pending(others, at_once));
    CHECK(pair.peer.end() == End::fin);
}

TEST_CASE("a connect that was cancelled is not heard of again when its limit is over")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const Request connect = isolate.connect_within(endpoint(full), 150);
    CHECK(isolate.cancel(connect) == 0);
    CHECK(isolate.result(connect) == TCP_ERR_CLOSED);
    wait_in_daemon(isolate, full, 200);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a cancel that races with the outcome lets the connect complete once, either way")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener;
    const FullListener full;
    for (int round = 0; round < 200; round++) {
        CAPTURE(round);
        const Request connect = isolate.connect({listener.address(), listener.port()});
        const Request limited = isolate.connect_within(endpoint(full), 1);
        if (round % 4) {
            isolate.is_pending(connect, std::chrono::milliseconds(round % 4 - 1));
        }
        const int64_t cancelled = isolate.cancel(connect);
        CHECK((cancelled == 0 || cancelled == TCP_ERR_INVALID_ARGUMENT));
        isolate.cancel(limited);
        const int64_t handle = isolate.result(connect);
        CHECK((handle > 0 || (handle == TCP_ERR_CLOSED && cancelled == 0)));
        if (handle > 0) {
            CHECK(isolate.result(isolate.close(handle)) == 0);
        }
        const int64_t end = isolate.result(limited);
        CHECK((end == TCP_ERR_TIMED_OUT || end == TCP_ERR_CLOSED));
        while (listener.has_connection(at_once)) {
            listener.accept();
        }
    }
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("cancel without a session gives NOT_INITIALIZED, like a connect with a limit")
{
    const Daemon daemon;
    const FullListener full;
    Isolate isolate;
    Isolate other;
    other.start();
    const Request connect = other.connect(endpoint(full));
    const auto check_refused = [&] {
        CHECK(isolate.cancel(connect) == TCP_ERR_NOT_INITIALIZED);
        CHECK(isolate.result(isolate.connect_within(endpoint(full), 100)) == TCP_ERR_NOT_INITIALIZED);
        CHECK(isolate.result(isolate.connect_within(endpoint(full), -1)) == TCP_ERR_NOT_INITIALIZED);
    };
    check_refused();
    isolate.start();
    CHECK(isolate.destroy() == 0);
    check_refused();
    CHECK(oche_isolate_cancel(connect.id) == TCP_ERR_NOT_INITIALIZED); // outside of any isolate
    CHECK(other.is_pending(connect));
}

TEST_CASE("cancel does not wait for a daemon that is stopped")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const Request before = isolate.connect(endpoint(full));
    CHECK(isolate.is_pending(before));
    Request meanwhile{};
    {
        const Stopped stopped(daemon.pid());
        meanwhile = isolate.connect(endpoint(full));
        CHECK(isolate.cancel(before) == 0);
        CHECK(isolate.cancel(meanwhile) == 0);
        CHECK(isolate.cancel(meanwhile) == 0); // it is still pending
        CHECK(isolate.is_pending(before, at_once));
    }
    CHECK(isolate.result(before) == TCP_ERR_CLOSED);
    CHECK(isolate.result(meanwhile) == TCP_ERR_CLOSED);
    CHECK(connected(isolate).handle > 0);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a connect that waits for the successor of a lost daemon can be cancelled, and nothing hangs")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const Request lost = isolate.connect(endpoint(full));
    kill_daemon(daemon, isolate);
    CHECK(isolate.result(lost) == TCP_ERR_DAEMON_LOST);
    CHECK(isolate.cancel(lost) == TCP_ERR_INVALID_ARGUMENT);

    const Gate gate(daemon.place());
    const Request awaiting = isolate.connect(endpoint(full));
    const Request another = isolate.connect(endpoint(full));
    CHECK(isolate.is_pending(awaiting));
    CHECK(isolate.cancel(awaiting) == 0);
    CHECK(isolate.is_pending(awaiting, at_once));
    gate.open();
    CHECK(isolate.result(awaiting) == TCP_ERR_CLOSED);
    CHECK(isolate.is_pending(another));
    CHECK(isolate.cancel(another) == 0);
    CHECK(isolate.result(another) == TCP_ERR_CLOSED);
    CHECK(daemon.place().starts() == 1);
}

// ---- options without waiting ----

TEST_CASE("an option that is set without waiting completes with 0, and the getter has it from then on")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Pair other = connected(isolate);
    for (const bool enabled : {true, false, true}) {
        CAPTURE(enabled);
        Request keep_alive{};
        Request no_delay{};
        {
            const Stopped stopped(daemon.pid());
            keep_alive = isolate.set_keep_alive(pair.handle, enabled);
            no_delay = isolate.set_no_delay(pair.handle, !enabled);
            CHECK(isolate.is_pending(no_delay));
            CHECK(tcp_get_keep_alive(pair.handle) == !enabled);
        }
        CHECK(isolate.result(keep_alive) == 0);
        CHECK(tcp_get_keep_alive(pair.handle) == enabled);
        CHECK(isolate.result(no_delay) == 0);
        CHECK(tcp_get_no_delay(pair.handle) == !enabled);
    }
    CHECK(tcp_get_keep_alive(other.handle) == 0);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("an option that is set without waiting reaches the kernel")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const uint16_t port = Isolate::local(pair.handle).port;
    try {
        daemon.socket_option(port, SOL_SOCKET, SO_KEEPALIVE);
    } catch (const std::system_error &error) {
        SKIP(std::string("this process may not look at the daemon's sockets: ") + error.what());
    }
    for (const bool enabled : {true, false}) {
        CAPTURE(enabled);
        CHECK(isolate.result(isolate.set_keep_alive(pair.handle, enabled)) == 0);
        CHECK(daemon.socket_option(port, SOL_SOCKET, SO_KEEPALIVE) == enabled);
        CHECK(isolate.result(isolate.set_no_delay(pair.handle, enabled)) == 0);
        CHECK((daemon.socket_option(port, IPPROTO_TCP, TCP_NODELAY) != 0) == enabled);
    }
}

TEST_CASE(
    "an option that is set without waiting is that of an open connection: all else is refused with INVALID_HANDLE")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair closed = connected(isolate);
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.close(closed.handle)) == 0);
    const auto check_refused = [&](int64_t handle) {
        CAPTURE(handle);
        const Outcome keep_alive = isolate.outcome(isolate.set_keep_alive(handle, true));
        CHECK(keep_alive.result == TCP_ERR_INVALID_HANDLE);
        CHECK(keep_alive.refused_at_once);
        CHECK(isolate.result(isolate.set_no_delay(handle, true)) == TCP_ERR_INVALID_HANDLE);
    };
    for (const int64_t handle : {listener, closed.handle, int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
        check_refused(handle);
    }
    CHECK(accepted(isolate, listener).handle > 0);
    kill_daemon(daemon, isolate);
    check_refused(pair.handle);
    CHECK(isolate.destroy() == 0);
    CHECK(isolate.result(isolate.set_keep_alive(pair.handle, true)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.set_no_delay(pair.handle, true)) == TCP_ERR_NOT_INITIALIZED);
}

TEST_CASE("an option that is being set completes also when its connection, its session or the daemon ends meanwhile")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Pair other = connected(isolate);
    std::vector<Request> requests;
    {
        const Stopped stopped(daemon.pid());
        requests.push_back(isolate.set_no_delay(pair.handle, true));
        requests.push_back(isolate.close(pair.handle));
    }
    CHECK(isolate.result(requests[0]) == 0); // it came before the close
    CHECK(isolate.result(requests[1]) == 0);
    CHECK(tcp_get_no_delay(pair.handle) == TCP_ERR_INVALID_HANDLE);
    {
        const Stopped stopped(daemon.pid());
        const Request cut_off = isolate.set_keep_alive(other.handle, true);
        CHECK(isolate.destroy() == 0);
        CHECK(isolate.outcome(cut_off, at_once).result == TCP_ERR_CLOSED);
    }
    isolate.start();
    const Pair last = connected(isolate);
    Request pending{};
    {
        const Stopped stopped(daemon.pid());
        pending = isolate.set_keep_alive(last.handle, true);
        daemon.kill(SIGKILL);
    }
    CHECK(isolate.result(pending) == TCP_ERR_DAEMON_LOST);
    CHECK(daemon.wait() == 128 + SIGKILL);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("options may be set from several threads at once, without waiting and with")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    constexpr int64_t count = 50;
    std::vector<std::thread> threads;
    std::vector<int> failures(4, 0);
    for (size_t i = 0; i < failures.size(); i++) {
        threads.emplace_back([&, i] {
            const int64_t first = 1'000'000 * static_cast<int64_t>(i + 1);
            for (int64_t id = first; id < first + count; id++) {
                failures[i] += oche_isolate_set_no_delay(id, pair.handle, id % 2 == 0) != 0;
                failures[i] += tcp_set_keep_alive(pair.handle, id % 2 == 0) != 0;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(failures == std::vector<int>(4, 0));
    for (size_t i = 0; i < failures.size(); i++) {
        const int64_t first = 1'000'000 * static_cast<int64_t>(i + 1);
        for (int64_t id = first; id < first + count; id++) {
            REQUIRE(isolate.result({id, 0, false}) == 0);
        }
    }
    CHECK(isolate.untaken() == 0);
}
