// A daemon hands over to its successor: what of a program's sockets survives that, and what ends and how.
#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <poll.h>
#include <thread>

#include "oche/oche.h"
#include "tests/support/descriptor_table.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sized.h"
#include "tests/support/successor.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
struct SessionCloser {
    void operator()(oche_session *session) const
    {
        oche_session_close(session);
    }
};

oche_completion next_completion(oche_session *session)
{
    auto completion = sized<oche_completion>();
    const bool popped = eventually([&] {
        pollfd waited{oche_session_get_fd(session), POLLIN, 0};
        poll(&waited, 1, 10);
        oche_session_dispatch(session);
        return oche_session_pop(session, &completion);
    });
    REQUIRE(popped);
    return completion;
}
} // namespace

TEST_CASE("a listener survives a handover, and so do the accepts that are pending on it")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    const Request first = isolate.accept(listener);
    const Request second = isolate.accept(listener);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK(isolate.is_pending(first));
    CHECK(isolate.is_pending(second));
    for (const Request &request : {first, second}) {
        Peer peer = Peer::connect(at);
        const int64_t handle = isolate.value(request);
        CHECK(echoes(isolate, Pair{handle, std::move(peer)}, "after"));
    }
    CHECK(echoes(isolate, accepted(isolate, listener), "more"));
    CHECK(Isolate::local(listener).port == at.port);
    CHECK(isolate.result(isolate.listener_close(listener, true)) == 0);
    CHECK_THROWS(Peer::connect(at));
}

TEST_CASE("accepts that are pending over a handover are served in the order in which they were made")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    std::vector<Request> connects;
    std::vector<Request> accepts;
    for (int i = 0; i < 8; i++) {
        connects.push_back(isolate.connect(at));
        accepts.push_back(isolate.accept(listener));
    }
    for (const Request &connect : connects)
        isolate.value(connect);
    for (const Request &accept : accepts)
        isolate.value(accept);
    accepts.clear();
    for (int i = 0; i < 40; i++)
        accepts.push_back(isolate.accept(listener));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    for (const Request &accept : accepts) {
        const Peer peer = Peer::connect(at);
        CHECK(Isolate::remote(isolate.value(accept)).port == peer.local().port);
    }
    CHECK(daemon.wait() == 0);
}

TEST_CASE("connections of before end with DAEMON_LOST, each request once, and their handles stay stale")
{
    Daemon daemon;
    const size_t here = descriptor_count(getpid());
    {
        Isolate isolate;
        isolate.start();
        const int64_t listener = listening(isolate);
        const Request accept = isolate.accept(listener);
        const Pair reads = connected(isolate);
        const Pair writes = connected(isolate);
        std::vector<int64_t> before{reads.handle, writes.handle};
        for (int i = 0; i < 20; i++)
            before.push_back(connected(isolate).handle);
        const std::vector<Request> pending{
            isolate.read(reads.handle),
            isolate.write(writes.handle, std::string(32 << 20, 'x')),
            isolate.close_write(writes.handle),
        };
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        for (size_t i = 0; i < pending.size(); i++) {
            CAPTURE(i);
            CHECK(isolate.result(pending[i]) == TCP_ERR_DAEMON_LOST);
        }
        CHECK(reads.peer.end() != End::none);
        CHECK(isolate.is_pending(accept));
        const int64_t after = isolate.value(isolate.connect(Isolate::local(listener)));
        CHECK(isolate.value(accept) > 0);
        for (const int64_t handle : before) {
            CHECK(handle != after);
            CHECK(isolate.result(isolate.read(handle)) == TCP_ERR_INVALID_HANDLE);
            CHECK(isolate.result(isolate.close(handle)) == TCP_ERR_INVALID_HANDLE);
        }
        CHECK(isolate.result(isolate.write(after, "x")) == 1);
        CHECK(daemon.wait() == 0);
    }
    CHECK(eventually([&] { return descriptor_count(getpid()) <= here; }));
}

TEST_CASE("a connect that is pending when the daemon hands over is made by the successor")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    FullListener full;
    const Request connect = isolate.connect({full.address(), full.port()});
    REQUIRE(isolate.is_pending(connect));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK(isolate.is_pending(connect));
    full.drain();
    const int64_t handle = isolate.value(connect);
    CHECK(Isolate::remote(handle).port == full.port());
}

TEST_CASE("a connect that was cancelled before the daemon handed over is not made by the successor")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const Request connect = isolate.connect({full.address(), full.port()});
    REQUIRE(isolate.is_pending(connect));
    CHECK(isolate.cancel(connect) == 0);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(isolate.result(connect) == TCP_ERR_CLOSED);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("what a client has written before a handover still arrives")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    REQUIRE(isolate.result(isolate.write(pair.handle, "a ")) == 2);
    const size_t taken = size_t{32} << 20;
    const Request write = isolate.write(pair.handle, std::string(taken, 'x'));
    REQUIRE(isolate.result(isolate.set_no_delay(pair.handle, true)) == 0); // the daemon has taken the write
    REQUIRE(isolate.is_pending(write));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(isolate.result(write) == TCP_ERR_DAEMON_LOST);
    CHECK(pair.peer.receive_all().size() == 2 + taken);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a connection that waits to be accepted goes along")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    Peer waiting = Peer::connect(Isolate::local(listener));
    waiting.send("early");
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    const int64_t handle = isolate.value(isolate.accept(listener));
    CHECK(isolate.read_exactly(handle, 5) == "early");
}

TEST_CASE("a listener that is being closed while the daemon hands over is closed in the end")
{
    Daemon daemon;
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const int64_t kept = listening(isolate);
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    auto wire = offered(daemon, 2);
    const Request accept = isolate.accept(listener);
    CHECK(isolate.result(isolate.listener_close(listener, false)) == 0);
    CHECK(isolate.result(accept) == TCP_ERR_CLOSED);
    CHECK(is_refused(at)); // although the successor has it, too
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_DAEMON_LOST);
    wire.reset();
    CHECK(daemon.logs("event=kept"));
    CHECK(eventually([&] { return isolate.result(isolate.listen({loopback4(), 0})) > 0; }));
    const Successor successor(place);
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK(echoes(isolate, accepted(isolate, kept)));
}

TEST_CASE("a listener that the successor may not have is lost, and what else the session has goes on")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t kept = listening(isolate);
    std::vector<std::string> arguments;
    Address address = loopback4();
    SECTION("its --allow-listen does not name it")
    {
        arguments = {"--allow-listen", "127.0.0.1"};
        address = loopback4(2);
    }
    SECTION("its --max-handles are fewer")
    {
        arguments = {"--max-handles", "3"};
        connected(isolate);
        connected(isolate);
    }
    const int64_t lost = isolate.value(isolate.listen({address, 0}));
    const Endpoint at = Isolate::local(lost);
    const Request accept = isolate.accept(kept);
    const std::vector<Request> pending{isolate.accept(lost), isolate.accept(lost)};
    const Successor successor(daemon.place(), arguments);
    REQUIRE(successor.serves());
    for (const Request &request : pending)
        CHECK(isolate.result(request) == TCP_ERR_DAEMON_LOST);
    CHECK(successor.logs("event=resume .*listeners=1 lost=1"));
    CHECK(is_refused(at));
    CHECK(isolate.result(isolate.accept(lost)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.listener_close(lost, true)) == TCP_ERR_INVALID_HANDLE);
    CHECK(tcp_get_local_port(lost) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.is_pending(accept));
    Peer peer = Peer::connect(Isolate::local(kept));
    const int64_t handle = isolate.value(accept);
    CHECK(echoes(isolate, Pair{handle, std::move(peer)}));
    const int64_t fresh = listening(isolate); // in the place of the lost one, perhaps
    CHECK(fresh != lost);
    CHECK(isolate.result(isolate.close(handle)) == 0);
    CHECK(echoes(isolate, accepted(isolate, fresh)));
    CHECK(daemon.wait() == 0);
}

TEST_CASE("a session whose listeners are all lost goes on without them")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Request accept = isolate.accept(isolate.value(isolate.listen({loopback4(2), 0})));
    const Request other = isolate.accept(isolate.value(isolate.listen({loopback4(2), 0})));
    const Successor successor(daemon.place(), {"--allow-listen", "127.0.0.1"});
    REQUIRE(successor.serves());
    CHECK(isolate.result(accept) == TCP_ERR_DAEMON_LOST);
    CHECK(isolate.result(other) == TCP_ERR_DAEMON_LOST);
    CHECK(successor.logs("event=resume .*listeners=0 lost=2"));
    CHECK(echoes(isolate, accepted(isolate, listening(isolate))));
    CHECK(daemon.wait() == 0);
    CHECK(daemon.place().starts() == 0);
}

TEST_CASE("every session keeps its own listeners, over several handovers in a row")
{
    Daemon daemon({{"--workers", "3"}});
    std::vector<std::unique_ptr<Isolate>> isolates;
    std::vector<std::vector<int64_t>> listeners;
    std::vector<std::vector<Request>> accepts;
    for (int i = 0; i < 12; i++) {
        isolates.push_back(std::make_unique<Isolate>());
        isolates.back()->start();
        listeners.push_back({listening(*isolates.back()), listening(*isolates.back())});
        accepts.emplace_back();
        for (const int64_t listener : listeners.back())
            accepts.back().push_back(isolates.back()->accept(listener));
    }
    std::vector<std::unique_ptr<Successor>> successors;
    for (int round = 0; round < 3; round++) {
        successors.push_back(std::make_unique<Successor>(
            daemon.place(), std::vector<std::string>{"--workers", std::to_string(round + 1)}));
        REQUIRE(successors.back()->serves());
        CHECK((round == 0 ? daemon.wait() : successors[successors.size() - 2]->wait()) == 0);
        for (size_t i = 0; i < isolates.size(); i++) {
            Isolate &isolate = *isolates[i];
            for (size_t j = 0; j < listeners[i].size(); j++) {
                Peer peer = Peer::connect(Isolate::local(listeners[i][j]));
                const int64_t handle = isolate.value(accepts[i][j]);
                CHECK(Isolate::remote(handle).port == peer.local().port);
                CHECK(echoes(isolate, Pair{handle, std::move(peer)}, "to listener " + std::to_string(j)));
                accepts[i][j] = isolate.accept(listeners[i][j]);
            }
        }
    }
}

TEST_CASE("a daemon without sessions hands over, and one that does not run is simply started")
{
    Daemon daemon;
    {
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        CHECK(daemon.wait() == 0);
        Isolate isolate;
        isolate.start();
        CHECK(echoes(isolate, connected(isolate)));
        CHECK(daemon.place().starts() == 0);
    }
    CHECK_FALSE(std::filesystem::exists(daemon.place().socket_path()));
    const Successor other(daemon.place());
    CHECK(other.serves());
    CHECK(daemon.place().is_served());
}

TEST_CASE("under load no connection is refused, and all but those in hand are answered")
{
    constexpr size_t handovers = 3;
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint at = Isolate::local(listener);
    std::atomic<int> echoed{0}, ended{0}, refused{0};
    std::atomic<bool> stops{false};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; i++) {
        clients.emplace_back([&] {
            while (!stops) {
                std::optional<Peer> peer;
                try {
                    peer.emplace(Peer::connect(at));
                } catch (const std::exception &) {
                    refused++;
                    continue;
                }
                std::string answer;
                try {
                    peer->send("ping");
                    answer = peer->receive(4);
                } catch (const std::exception &) {
                    answer = "";
                }
                (answer == "ping" ? echoed : ended)++;
            }
        });
    }
    const auto serve_one = [&] {
        const int64_t handle = isolate.result(isolate.accept(listener));
        CHECK(handle > 0);
        if (handle <= 0)
            return false;
        int64_t failure = 0;
        int64_t end = isolate.read_exactly(handle, 4, &failure) == "ping"
                          ? isolate.result(isolate.write(handle, "ping"))
                          : failure;
        if (end == 4)
            end = isolate.result(isolate.close(handle));
        const bool known =
            end == 0 || end == TCP_ERR_DAEMON_LOST || end == TCP_ERR_INVALID_HANDLE || end == TCP_ERR_CLOSED;
        CAPTURE(end);
        CHECK(known);
        isolate.forget();
        return true;
    };
    bool good = true;
    for (size_t i = 0; i < handovers && good; i++) {
        for (int wanted = echoed + 200; good && echoed < wanted;)
            good = serve_one();
        send_signal(daemon.place().server().value(), SIGUSR2);
        while (good && daemon.count_lines("event=inherited") == i)
            good = serve_one();
        for (int wanted = echoed + 200; good && echoed < wanted;)
            good = serve_one();
    }
    stops = true;
    const Request close = isolate.listener_close(listener, true);
    CHECK(isolate.result(close) == 0); // ends those that wait
    for (auto &client : clients)
        client.join();
    CHECK(daemon.wait() == 0);
    CHECK(refused <= 4); // when the listener was closed at the end
    CHECK(ended <= static_cast<int>(handovers) + 4);
    WARN("echoed " << echoed << ", ended " << ended << " over " << handovers << " handovers");
}

TEST_CASE("a session without Dart follows while it dispatches")
{
    Daemon daemon;
    oche_session *opened = nullptr;
    REQUIRE(oche_session_open(nullptr, &opened) == 0);
    const std::unique_ptr<oche_session, SessionCloser> session(opened);
    const Address address = loopback4();
    auto options = sized<oche_listen_options>();
    options.address = address.data();
    options.address_length = address.size();
    REQUIRE(oche_listen(session.get(), 1, &options) == 0);
    const int64_t listener = next_completion(session.get()).result;
    REQUIRE(listener > 0);
    auto local = sized<oche_endpoint>();
    REQUIRE(oche_get_local(session.get(), listener, &local) == 0);
    REQUIRE(oche_accept(session.get(), 2, listener) == 0);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    const Peer peer = Peer::connect({address, local.port});
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 2);
    CHECK(completion.result > 0);
    CHECK(daemon.wait() == 0);
}
