// A daemon that is there but does not answer: limits, requests and the opening of sessions end all the same.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <poll.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/misconduct.h"
#include "tests/support/pair.h"
#include "tests/support/sized.h"

using namespace test_support;

namespace
{
constexpr auto at_once = std::chrono::milliseconds(0);

struct SessionCloser {
    void operator()(oche_session *session) const
    {
        oche_session_close(session);
    }
};
using SessionPointer = std::unique_ptr<oche_session, SessionCloser>;

SessionPointer open_session()
{
    oche_session *session = nullptr;
    REQUIRE(oche_session_open(nullptr, &session) == 0);
    return SessionPointer(session);
}

// Waits on the session's descriptor alone, as long as it takes, until something completes.
oche_completion next_completion(oche_session *session)
{
    auto completion = sized<oche_completion>();
    while (!oche_session_pop(session, &completion)) {
        pollfd waited{oche_session_get_fd(session), POLLIN, 0};
        if (poll(&waited, 1, static_cast<int>(much_patience.count())) != 1) {
            throw std::runtime_error("the session's descriptor does not become readable");
        }
        oche_session_dispatch(session);
    }
    return completion;
}

oche_connect_options to(const Address &address, uint16_t port, uint32_t limit)
{
    auto options = sized<oche_connect_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.port = port;
    options.timeout_ms = limit;
    return options;
}

size_t threads()
{
    const std::filesystem::directory_iterator all("/proc/self/task");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// Without those that the daemon has only while a session opens.
size_t descriptors_at_rest(const Daemon &daemon, Isolate &isolate)
{
    CHECK(isolate.result(isolate.connect({loopback4(), free_port()})) == TCP_ERR_CONNECT_FAILED);
    return daemon.descriptor_count();
}

int64_t patient_result(Isolate &isolate, const Request &request)
{
    return isolate.outcome(request, much_patience).result;
}
} // namespace

// ---- limits ----

TEST_CASE("while the daemon is stopped a connect completes with TIMED_OUT when its limit is over, and no other does")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    const PeerListener listener;
    const Endpoint target{listener.address(), listener.port()};
    const size_t before = descriptors_at_rest(daemon, isolate);
    Request unlimited{};
    Request patient{};
    {
        const Stopped stopped(daemon.pid());
        unlimited = isolate.connect(target);
        patient = isolate.connect_within(target, much_patience.count());
        for (const int64_t limit : {1, 200}) {
            CAPTURE(limit);
            const Outcome outcome = isolate.outcome(isolate.connect_within(target, limit));
            CHECK(outcome.result == TCP_ERR_TIMED_OUT);
            CHECK(outcome.os_error == ETIMEDOUT);
        }
        CHECK(isolate.is_pending(unlimited, at_once));
        CHECK(isolate.is_pending(patient, at_once));
    }
    for (const Request &request : {unlimited, patient}) {
        const int64_t handle = isolate.value(request);
        CHECK(isolate.result(isolate.close(handle)) == 0);
    }
    CHECK(eventually([&] { return daemon.descriptor_count() == before; }));
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("the descriptor of a session becomes readable when a limit is over, without a thread and without the daemon")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const PeerListener listener;
    const oche_connect_options limited = to(listener.address(), listener.port(), 100);
    const oche_connect_options unlimited = to(listener.address(), listener.port(), 0);
    {
        const Stopped stopped(daemon.pid());
        REQUIRE(oche_connect(session.get(), 1, &unlimited) == 0);
        REQUIRE(oche_connect(session.get(), 2, &limited) == 0);
        const oche_completion completion = next_completion(session.get());
        CHECK(completion.request_id == 2);
        CHECK(completion.result == TCP_ERR_TIMED_OUT);
        CHECK(completion.os_error == ETIMEDOUT);
    }
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 1);
    CHECK(completion.result > 0);
}

TEST_CASE("connects whose limit is over when they are just made leave no socket behind")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const PeerListener listener;
    const size_t before = descriptors_at_rest(daemon, isolate);
    std::vector<Request> connects;
    for (int i = 0; i < 200; i++) {
        connects.push_back(isolate.connect_within({listener.address(), listener.port()}, 1 + i % 5));
    }
    for (const Request &connect : connects) {
        const int64_t handle = isolate.result(connect);
        CHECK((handle > 0 || handle == TCP_ERR_TIMED_OUT));
        if (handle > 0) {
            CHECK(isolate.result(isolate.close(handle)) == 0);
        }
    }
    CHECK(eventually([&] { return daemon.descriptor_count() == before; }));
    CHECK(isolate.untaken() == 0);
}

// ---- the heartbeat ----

TEST_CASE("a daemon that is stopped is lost: what it owes completes with DAEMON_LOST, and so do reads and accepts")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair written = connected(isolate);
    const Pair shut = connected(isolate);
    const Pair closed = connected(isolate);
    const Pair set = connected(isolate);
    const int64_t listener = listening(isolate);
    const int64_t closed_listener = listening(isolate);
    const PeerListener target;
    const Stopped stopped(daemon.pid());
    const std::vector<Request> requests{
        isolate.read(written.handle),
        isolate.accept(listener),
        isolate.write(written.handle, "x"),
        isolate.close_write(shut.handle),
        isolate.close(closed.handle),
        isolate.set_no_delay(set.handle, true),
        isolate.listener_close(closed_listener, false),
        isolate.listen({loopback4(), 0}),
        isolate.connect({target.address(), target.port()}),
    };
    for (const Request &request : requests) {
        CAPTURE(request.id);
        CHECK(patient_result(isolate, request) == TCP_ERR_DAEMON_LOST);
    }
    CHECK(isolate.result(isolate.read(set.handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a session without a thread learns from its descriptor alone that the daemon is lost")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    auto statistics = sized<oche_statistics>();
    const Stopped stopped(daemon.pid());
    REQUIRE(oche_get_statistics(session.get(), 1, &statistics) == 0);
    CHECK(next_completion(session.get()).result == TCP_ERR_DAEMON_LOST);
    CHECK(oche_session_dispatch(session.get()) == TCP_ERR_DAEMON_LOST);
    CHECK(oche_get_statistics(session.get(), 2, &statistics) == TCP_ERR_DAEMON_LOST);
}

TEST_CASE("after the loss the next connect says which daemon does not answer; when that goes on, it serves again")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const PeerListener target;
    {
        const Stopped stopped(daemon.pid());
        const Request close = isolate.close(pair.handle);
        CHECK(patient_result(isolate, close) == TCP_ERR_DAEMON_LOST);
        const Request connect = isolate.connect({target.address(), target.port()});
        CHECK(patient_result(isolate, connect) == TCP_ERR_DAEMON_UNAVAILABLE);
        const std::string error = isolate.open_error();
        CAPTURE(error);
        CHECK(error.find("process " + std::to_string(daemon.pid()) + ", does not answer") != std::string::npos);
        CHECK(error.find(daemon.place().socket_path()) != std::string::npos);
    }
    CHECK(echoes(isolate, connected(isolate)));
    CHECK(isolate.open_error().empty());
    CHECK(daemon.place().starts() == 0);
}

// ---- sessions that open later ----

TEST_CASE("a session that opens later finds or starts the daemon with the first request, and not before")
{
    const Place place;
    Isolate isolate;
    REQUIRE(isolate.open() == 0);
    CHECK(isolate.open() == 0); // nothing new
    CHECK(isolate.init() == 0);
    CHECK_FALSE(place.is_served());
    CHECK(echoes(isolate, connected(isolate)));
    CHECK(place.starts() == 1);
    CHECK(isolate.open_error().empty());
}

TEST_CASE("a session that opens later completes its requests with DAEMON_UNAVAILABLE and says why, each time")
{
    Place place;
    setenv("OCHE_DAEMON", "/nowhere/oched", 1);
    Isolate isolate;
    REQUIRE(isolate.open() == 0);
    CHECK(isolate.open_error().empty());
    const PeerListener target;
    for (int round = 0; round < 3; round++) {
        const Request connect = isolate.connect({target.address(), target.port()});
        const Request listen = isolate.listen({loopback4(), 0});
        CHECK(isolate.result(connect) == TCP_ERR_DAEMON_UNAVAILABLE);
        CHECK(isolate.result(listen) == TCP_ERR_DAEMON_UNAVAILABLE);
        CAPTURE(isolate.open_error());
        CHECK(isolate.open_error().find("cannot start /nowhere/oched") != std::string::npos);
    }
    setenv("OCHE_DAEMON", place.path("oched").c_str(), 1);
    CHECK(echoes(isolate, connected(isolate)));
    CHECK(isolate.open_error().empty());
    CHECK(isolate.destroy() == 0);
    CHECK(isolate.open_error().empty());
    CHECK(isolate.result(isolate.connect({target.address(), target.port()})) == TCP_ERR_NOT_INITIALIZED);
}

TEST_CASE("while the opening waits for a stopped daemon limits are kept, and tcp_destroy ends it all")
{
    const Daemon daemon;
    Isolate isolate;
    const PeerListener target;
    const Endpoint endpoint{target.address(), target.port()};
    const Stopped stopped(daemon.pid());
    REQUIRE(isolate.open() == 0);
    const Request unlimited = isolate.connect(endpoint);
    const Request listen = isolate.listen({loopback4(), 0});
    for (const int64_t limit : {1, 100}) {
        CHECK(isolate.result(isolate.connect_within(endpoint, limit)) == TCP_ERR_TIMED_OUT);
    }
    CHECK(isolate.destroy() == 0);
    for (const Request &request : {unlimited, listen}) {
        const int64_t end = isolate.result(request);
        CHECK((end == TCP_ERR_CLOSED || end == TCP_ERR_DAEMON_UNAVAILABLE)); // on a very busy machine
    }
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("a connect whose limit was over while the session opened does not disturb the others")
{
    const Daemon daemon;
    Isolate isolate;
    const PeerListener target;
    const Endpoint endpoint{target.address(), target.port()};
    REQUIRE(isolate.open() == 0);
    Request kept{};
    {
        const Stopped stopped(daemon.pid());
        const Request limited = isolate.connect_within(endpoint, 50);
        kept = isolate.connect(endpoint);
        CHECK(isolate.result(limited) == TCP_ERR_TIMED_OUT);
    }
    CHECK(isolate.result(isolate.close(isolate.value(kept))) == 0);
    CHECK(echoes(isolate, connected(isolate)));
    CHECK(complaints(daemon) == 0);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("an isolate that dies while its session opens leaves nothing")
{
    const Daemon daemon;
    const PeerListener target;
    const size_t before = threads();
    const Stopped stopped(daemon.pid());
    Isolate isolate;
    REQUIRE(isolate.open() == 0);
    isolate.connect({target.address(), target.port()});
    isolate.connect_within({target.address(), target.port()}, 50);
    isolate.die();
    CHECK(eventually([&] { return threads() == before; }));
}
