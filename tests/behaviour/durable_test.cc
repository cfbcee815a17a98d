// Listeners that outlive their daemon.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/successor.h"

using namespace test_support;

namespace
{
int64_t durable(Isolate &isolate, const Endpoint &at = {loopback4(), 0}, ListenOptions options = {})
{
    options.durable = true;
    return isolate.value(isolate.listen(at, options));
}

void end_daemon(const Place &place, int signal = SIGKILL)
{
    const auto pid = place.server();
    REQUIRE(pid);
    kill(*pid, signal);
    REQUIRE(eventually([&] { return !is_alive(*pid); }));
}

// Whether somebody listens on the port of an IPv4 address, asked of the system, for a connection would be accepted.
bool is_listening(uint16_t port)
{
    char place[16];
    snprintf(place, sizeof place, ":%04X", port);
    std::ifstream sockets("/proc/net/tcp");
    std::string line, number, local, remote, state;
    while (std::getline(sockets, line)) {
        std::istringstream fields(line);
        fields >> number >> local >> remote >> state;
        if (state == "0A" && local.size() > 5 && local.substr(local.size() - 5) == place) {
            return true;
        }
    }
    return false;
}

// A daemon that the library starts, as it starts those that come after.
void begin(Isolate &isolate)
{
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
}

// Whoever comes before the listener is there again comes once more.
Peer reach(const Endpoint &at)
{
    std::optional<Peer> peer;
    REQUIRE(eventually([&] {
        try {
            peer = Peer::connect(at);
        } catch (const std::exception &) {
        }
        return peer.has_value();
    }));
    return std::move(*peer);
}

// The next connection, for the accept that is first in line.
Pair accepted_by(Isolate &isolate, const Request &accept, const Endpoint &at)
{
    Peer peer = reach(at);
    const int64_t handle = isolate.value(accept);
    CHECK(Isolate::remote(handle).port == peer.local().port);
    return {handle, std::move(peer)};
}

// From now on no daemon can be started here, until the object is gone.
class NoDaemon
{
  public:
    explicit NoDaemon(const Place &place) : place_(place)
    {
        setenv("OCHE_DAEMON", "/nonexistent/oched", 1);
    }
    ~NoDaemon()
    {
        setenv("OCHE_DAEMON", place_.path("oched").c_str(), 1);
    }
    NoDaemon(const NoDaemon &) = delete;
    NoDaemon &operator=(const NoDaemon &) = delete;

  private:
    const Place &place_;
};
} // namespace

TEST_CASE("a durable listener goes on at the next daemon, with its handle, its port and its pending accepts")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    for (const int signal : {SIGKILL, SIGABRT, SIGTERM, SIGKILL, SIGTERM}) {
        const Request accepts[] = {isolate.accept(listener), isolate.accept(listener)};
        end_daemon(place, signal);
        for (const Request &accept : accepts) {
            CHECK(echoes(isolate, accepted_by(isolate, accept, at)));
        }
        CHECK(Isolate::local(listener).port == at.port);
        CHECK(echoes(isolate, accepted_by(isolate, isolate.accept(listener), at)));
    }
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(is_refused(at));
}

TEST_CASE("a durable listener that nobody accepts from is there again by itself")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    end_daemon(place);
    const Pair pair = accepted_by(isolate, isolate.accept(listener), at);
    CHECK(echoes(isolate, pair));
}

TEST_CASE("with durable listeners everything else is lost as it is without them")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    const Pair before = accepted_by(isolate, isolate.accept(listener), at);
    const int64_t transient = listening(isolate);
    const Endpoint transient_at{loopback4(), Isolate::local(transient).port};
    const Request pending[] = {isolate.read(before.handle), isolate.accept(transient),
                               isolate.write(before.handle, std::string(32 << 20, 'x'))};
    end_daemon(place);
    for (const Request &request : pending) {
        CHECK(isolate.result(request) == TCP_ERR_DAEMON_LOST);
    }
    const Pair after = accepted_by(isolate, isolate.accept(listener), at);
    CHECK(after.handle != before.handle);
    CHECK(isolate.result(isolate.write(before.handle, "x")) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.read(before.handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.close(before.handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.accept(transient)) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_local_port(before.handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(is_refused(transient_at));
    CHECK(echoes(isolate, after));
}

TEST_CASE("handles that were never used again stay stale over many daemons")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    std::vector<int64_t> stale;
    for (int round = 0; round < 4; round++) {
        const Pair pair = accepted_by(isolate, isolate.accept(listener), at);
        const Pair other = connected(isolate);
        for (const int64_t handle : stale) {
            CHECK(isolate.result(isolate.write(handle, "x")) == TCP_ERR_INVALID_HANDLE);
        }
        CHECK(echoes(isolate, pair));
        CHECK(echoes(isolate, other));
        stale.insert(stale.end(), {pair.handle, other.handle});
        end_daemon(place);
    }
}

TEST_CASE("a durable listener keeps its options")
{
    if (!has_ipv6()) {
        SKIP("there is no ::1 here");
    }
    const Place place;
    Isolate isolate;
    begin(isolate);
    ListenOptions v6_only;
    v6_only.v6_only = true;
    ListenOptions shared;
    shared.shared = true;
    const int64_t only6 = durable(isolate, {any6(), 0}, v6_only);
    const int64_t one = durable(isolate, {loopback4(), 0}, shared);
    const Endpoint at{loopback4(), Isolate::local(one).port};
    const int64_t other = durable(isolate, at, shared);
    const uint16_t port6 = Isolate::local(only6).port;
    end_daemon(place);
    const Request accept = isolate.accept(only6);
    CHECK(echoes(isolate, accepted_by(isolate, accept, {loopback6(), port6})));
    CHECK_FALSE(Attempt({loopback4(), port6}).established(moment));
    reach(at); // both are there
    const int64_t third = durable(isolate, at, shared);
    CHECK(isolate.result(isolate.listener_close(one, false)) == 0);
    CHECK(isolate.result(isolate.listener_close(other, false)) == 0);
    // What reached the others, and was not accepted there, is still in the one queue of the three.
    const Peer last = Peer::connect(at);
    int64_t handle = 0;
    do {
        handle = isolate.value(isolate.accept(third));
    } while (Isolate::remote(handle).port != last.local().port);
    const Outcome exclusive = isolate.outcome(isolate.listen(at));
    CHECK(exclusive.result == TCP_ERR_BIND_FAILED);
}

TEST_CASE("if the port of a durable listener is taken meanwhile its accepts say so, and others go on")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t lucky = durable(isolate);
    const int64_t listener = durable(isolate);
    const uint16_t port = Isolate::local(listener).port;
    const Request accepts[] = {isolate.accept(listener), isolate.accept(listener)};
    auto none = std::make_unique<NoDaemon>(place);
    end_daemon(place);
    const PeerListener thief(loopback4(), 16, port);
    none.reset();
    for (const Request &accept : accepts) {
        const Outcome outcome = isolate.outcome(accept);
        CHECK(outcome.result == TCP_ERR_BIND_FAILED);
        CHECK(outcome.os_error == EADDRINUSE);
    }
    CHECK(isolate.result(isolate.accept(listener)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.listener_close(listener, false)) == TCP_ERR_INVALID_HANDLE);
    const Endpoint at{loopback4(), Isolate::local(lucky).port};
    CHECK(echoes(isolate, accepted_by(isolate, isolate.accept(lucky), at)));
}

TEST_CASE("if there is no daemon for long the accepts of a durable listener say so, and the next bind works again")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    const Request accept = isolate.accept(listener);
    {
        const NoDaemon none(place);
        end_daemon(place);
        CHECK(isolate.outcome(accept, patience + patience).result == TCP_ERR_DAEMON_UNAVAILABLE);
        CHECK(isolate.result(isolate.accept(listener)) == TCP_ERR_INVALID_HANDLE);
    }
    const int64_t again = durable(isolate, at);
    CHECK(again != listener);
    CHECK(echoes(isolate, accepted_by(isolate, isolate.accept(again), at)));
}

TEST_CASE("while a durable listener has no daemon a connect fails as without one, and accepts can be made and wait")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    auto none = std::make_unique<NoDaemon>(place);
    const Request before = isolate.accept(listener);
    end_daemon(place);
    const Request connect = isolate.connect(at);
    const int64_t result = isolate.result(connect);
    CHECK((result == TCP_ERR_DAEMON_UNAVAILABLE || result == TCP_ERR_DAEMON_LOST));
    const Request late = isolate.accept(listener);
    CHECK(isolate.is_pending(late));
    CHECK(isolate.is_pending(before));
    none.reset();
    CHECK(echoes(isolate, accepted_by(isolate, before, at)));
    isolate.result(isolate.listener_close(listener, false));
    isolate.outcome(late);
}

TEST_CASE("a durable listener can be closed, and its session destroyed, while there is no daemon")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t closed = durable(isolate);
    const int64_t open = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(closed).port};
    const Endpoint stays{loopback4(), Isolate::local(open).port};
    auto none = std::make_unique<NoDaemon>(place);
    const Request accept = isolate.accept(closed);
    end_daemon(place);
    const Request close = isolate.listener_close(closed, false);
    CHECK(isolate.result(isolate.accept(closed)) == TCP_ERR_INVALID_HANDLE);
    isolate.outcome(close);
    isolate.outcome(accept);
    none.reset();
    reach(stays);
    CHECK(is_refused(at));
    const Request last = isolate.accept(open);
    none = std::make_unique<NoDaemon>(place);
    end_daemon(place);
    CHECK(isolate.destroy() == 0);
    CHECK(isolate.result(last) > TCP_ERR_DAEMON_LOST); // a connection, or CLOSED
}

TEST_CASE("a listen of a durable listener that is pending when the daemon is lost is made at the next one")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    durable(isolate);
    const auto pid = place.server();
    REQUIRE(pid);
    ListenOptions options;
    options.durable = true;
    std::optional<Stopped> stopped(*pid);
    const Request listen = isolate.listen({loopback4(), 0}, options);
    CHECK(isolate.is_pending(listen));
    kill(*pid, SIGKILL);
    stopped.reset();
    const int64_t listener = isolate.value(listen);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    CHECK(echoes(isolate, accepted_by(isolate, isolate.accept(listener), at)));
}

TEST_CASE("durable listeners of several isolates come back at one daemon, and over a handover")
{
    const Place place;
    std::vector<std::unique_ptr<Isolate>> isolates;
    std::vector<int64_t> listeners;
    for (int i = 0; i < 5; i++) {
        isolates.push_back(std::make_unique<Isolate>());
        begin(*isolates.back());
        listeners.push_back(durable(*isolates.back()));
    }
    const auto all_go_on = [&] {
        for (size_t i = 0; i < isolates.size(); i++) {
            const Endpoint at{loopback4(), Isolate::local(listeners[i]).port};
            CHECK(echoes(*isolates[i], accepted_by(*isolates[i], isolates[i]->accept(listeners[i]), at)));
        }
    };
    end_daemon(place);
    all_go_on();
    CHECK(eventually([&] { return place.daemons() == 1; }));
    {
        const Successor successor(place);
        REQUIRE(successor.serves());
        all_go_on();
        end_daemon(place, SIGTERM);
        all_go_on();
    }
    end_daemon(place);
    all_go_on();
}

TEST_CASE("new sockets post their endpoints where that was asked for, and nothing else has such")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ENDPOINTS | OCHE_FEATURE_ERROR_DETAIL) == 0);
    for (const bool durable : {true, false}) {
        ListenOptions options;
        options.durable = durable;
        const Outcome listened = isolate.outcome(isolate.listen({loopback4(), 0}, options));
        REQUIRE(listened.endpoints.size() == ENDPOINTS_SIZE);
        endpoints ends{};
        REQUIRE(endpoints_decode(&ends, reinterpret_cast<const uint8_t *>(listened.endpoints.data()),
                                 listened.endpoints.size()));
        CHECK(ends.local.port == Isolate::local(listened.result).port);
        CHECK(ends.remote.address_length == 0);
        const Request accept = isolate.accept(listened.result);
        const Outcome connected = isolate.outcome(isolate.connect({loopback4(), ends.local.port}));
        const Outcome accepted = isolate.outcome(accept);
        for (const Outcome &made : {connected, accepted}) {
            REQUIRE(made.endpoints.size() == ENDPOINTS_SIZE);
            REQUIRE(endpoints_decode(&ends, reinterpret_cast<const uint8_t *>(made.endpoints.data()),
                                     made.endpoints.size()));
            CHECK(ends.local.port == Isolate::local(made.result).port);
            CHECK(ends.remote.port == Isolate::remote(made.result).port);
        }
        CHECK(isolate.outcome(isolate.write(connected.result, "x")).endpoints.empty());
        CHECK(isolate.read_exactly(accepted.result, 1) == "x");
    }
    const PeerListener full;
    CHECK(isolate.outcome(isolate.listen({loopback4(), full.port()})).endpoints.empty());
    REQUIRE(isolate.enable(0) == 0);
    CHECK(isolate.outcome(isolate.listen({loopback4(), 0})).endpoints.empty());
}

TEST_CASE("a durable listener is opened again when the daemon leaves in order")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    end_daemon(place, SIGTERM);
    CHECK(echoes(isolate, accepted_by(isolate, isolate.accept(listener), at)));
}

TEST_CASE("accepts of a durable listener wait while the daemon leaves, and have their connections from the next one")
{
    const Place place;
    Isolate isolate;
    begin(isolate);
    const int64_t listener = durable(isolate);
    const Endpoint at{loopback4(), Isolate::local(listener).port};
    const Pair pair = connected(isolate);
    const Request before = isolate.accept(listener);
    const Request write = isolate.write(pair.handle, std::string(32 << 20, 'x')); // keeps the daemon from leaving
    REQUIRE(isolate.is_pending(write));
    const auto pid = place.server();
    REQUIRE(pid);
    kill(*pid, SIGTERM);
    REQUIRE(eventually([&] { return !is_listening(at.port); }));
    const Request after = isolate.accept(listener);
    CHECK(isolate.is_pending(before));
    CHECK(isolate.is_pending(after));
    kill(*pid, SIGKILL);
    CHECK(isolate.result(write) == TCP_ERR_DAEMON_LOST);
    CHECK(echoes(isolate, accepted_by(isolate, before, at)));
    CHECK(echoes(isolate, accepted_by(isolate, after, at)));
}
