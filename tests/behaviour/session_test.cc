// The interface of oche/oche.h beneath the Dart shim: requests, dispatch, completions.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <poll.h>

#include "oche/oche.h"
#include "tests/support/daemon.h"
#include "tests/support/peer.h"
#include "tests/support/sized.h"
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
using SessionPointer = std::unique_ptr<oche_session, SessionCloser>;

SessionPointer open_session(const oche_session_options *options = nullptr)
{
    oche_session *session = nullptr;
    const int64_t result = oche_session_open(options, &session);
    INFO(oche_last_error());
    REQUIRE(result == 0);
    return SessionPointer(session);
}

// Dispatches until a completion can be popped.
oche_completion next_completion(oche_session *session)
{
    auto completion = sized<oche_completion>();
    const auto deadline = Clock::now() + patience;
    while (!oche_session_pop(session, &completion)) {
        pollfd waited{oche_session_get_fd(session), POLLIN, 0};
        poll(&waited, 1, 100);
        oche_session_dispatch(session);
        if (Clock::now() > deadline) {
            throw std::runtime_error("no completion comes");
        }
    }
    return completion;
}

oche_connect_options to(const Address &address, uint16_t port)
{
    auto options = sized<oche_connect_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.port = port;
    return options;
}

int64_t connect_to(oche_session *session, const Endpoint &endpoint)
{
    const oche_connect_options options = to(endpoint.address, endpoint.port);
    REQUIRE(oche_connect(session, 1, &options) == 0);
    const oche_completion completion = next_completion(session);
    REQUIRE(completion.request_id == 1);
    REQUIRE(completion.result > 0);
    return completion.result;
}

// Nothing else may be about to complete.
oche_statistics statistics_of(oche_session *session)
{
    auto statistics = sized<oche_statistics>();
    REQUIRE(oche_get_statistics(session, 1000, &statistics) == 0);
    const oche_completion completion = next_completion(session);
    REQUIRE(completion.request_id == 1000);
    REQUIRE(completion.result == 0);
    return statistics;
}
} // namespace

TEST_CASE("a session connects, writes, reads and closes without callbacks, by dispatch and pop")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    const Peer peer = listener.accept();

    REQUIRE(oche_write(session.get(), 2, handle, "hello", 5) == 0);
    oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 2);
    CHECK(completion.result == 5);
    CHECK(completion.data == nullptr);
    CHECK(peer.receive(5) == "hello");

    peer.send("there");
    REQUIRE(oche_read(session.get(), 3, handle) == 0);
    completion = next_completion(session.get());
    CHECK(completion.request_id == 3);
    REQUIRE(completion.result == 5);
    CHECK(std::string(reinterpret_cast<char *>(completion.data), 5) == "there");
    oche_data_free(completion.data_owner);

    REQUIRE(oche_close(session.get(), 4, handle) == 0);
    CHECK(next_completion(session.get()).result == 0);
    CHECK(peer.end() == End::fin);
}

TEST_CASE("a struct whose size is not set is refused, and a completion is delivered all the same")
{
    const Daemon daemon;
    const oche_session_options unsized_options{};
    oche_session *none = nullptr;
    CHECK(oche_session_open(&unsized_options, &none) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(none == nullptr);
    CHECK(std::string(oche_last_error()).find("size") != std::string::npos);

    const SessionPointer session = open_session();
    const PeerListener listener;
    const Address address = loopback4();
    oche_connect_options connect = to(address, listener.port());
    connect.size = 0;
    CHECK(oche_connect(session.get(), 1, &connect) == TCP_ERR_INVALID_ARGUMENT);
    auto listen = sized<oche_listen_options>();
    listen.address = address.data();
    listen.address_length = address.size();
    listen.size = 0;
    CHECK(oche_listen(session.get(), 1, &listen) == TCP_ERR_INVALID_ARGUMENT);
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    oche_endpoint endpoint{};
    CHECK(oche_get_local(session.get(), handle, &endpoint) == TCP_ERR_INVALID_ARGUMENT);

    REQUIRE(oche_close(session.get(), 7, handle) == 0);
    oche_completion completion{};
    REQUIRE(eventually([&] {
        oche_session_dispatch(session.get());
        return oche_session_pop(session.get(), &completion) && completion.request_id == 7;
    }));
    CHECK(completion.result == 0);
    CHECK(completion.size >= offsetof(oche_completion, os_error));
}

TEST_CASE("a session listens and accepts, and the getters know both ends")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    auto options = sized<oche_listen_options>();
    const Address address = loopback4();
    options.address = address.data();
    options.address_length = address.size();
    REQUIRE(oche_listen(session.get(), 1, &options) == 0);
    const int64_t listener = next_completion(session.get()).result;
    REQUIRE(listener > 0);
    auto local = sized<oche_endpoint>();
    REQUIRE(oche_get_local(session.get(), listener, &local) == 0);
    CHECK(local.address_length == 4);
    auto remote = sized<oche_endpoint>();
    CHECK(oche_get_remote(session.get(), listener, &remote) == TCP_ERR_INVALID_HANDLE);

    REQUIRE(oche_accept(session.get(), 2, listener) == 0);
    const Peer peer = Peer::connect({loopback4(), local.port});
    const int64_t handle = next_completion(session.get()).result;
    REQUIRE(handle > 0);
    REQUIRE(oche_get_remote(session.get(), handle, &remote) == 0);
    CHECK(remote.port == peer.local().port);

    REQUIRE(oche_listener_close(session.get(), 3, listener, true) == 0);
    CHECK(next_completion(session.get()).result == 0);
    CHECK(peer.end() == End::fin);
}

TEST_CASE("a connect with a time limit gives TIMED_OUT when the peer does not answer, and not long after")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const FullListener full;
    oche_connect_options options = to(full.address(), full.port());
    options.timeout_ms = 200;
    const auto time = time_of([&] {
        REQUIRE(oche_connect(session.get(), 9, &options) == 0);
        const oche_completion completion = next_completion(session.get());
        CHECK(completion.request_id == 9);
        CHECK(completion.result == TCP_ERR_TIMED_OUT);
    });
    CHECK(time >= std::chrono::milliseconds(190));
}

TEST_CASE("a connect that succeeds within its time limit stays connected after it")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const PeerListener listener;
    oche_connect_options options = to(listener.address(), listener.port());
    options.timeout_ms = 100;
    REQUIRE(oche_connect(session.get(), 1, &options) == 0);
    const int64_t handle = next_completion(session.get()).result;
    REQUIRE(handle > 0);
    const Peer peer = listener.accept();
    CHECK(peer.end(std::chrono::milliseconds(300)) == End::none);
    REQUIRE(oche_write(session.get(), 2, handle, "x", 1) == 0);
    CHECK(next_completion(session.get()).result == 1);
}

TEST_CASE("a connect that is cancelled completes once with CLOSED, and its socket is gone")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const FullListener full;
    const oche_connect_options options = to(full.address(), full.port());
    for (const int64_t id : {7, 8, 9}) {
        REQUIRE(oche_connect(session.get(), id, &options) == 0);
    }
    oche_statistics statistics = statistics_of(session.get());
    CHECK(statistics.sockets_open == 3);
    CHECK(statistics.session_handles == 3);
    CHECK(oche_cancel(session.get(), 8) == 0);
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 8);
    CHECK(completion.result == TCP_ERR_CLOSED);
    statistics = statistics_of(session.get());
    CHECK(statistics.sockets_open == 2);
    CHECK(statistics.session_handles == 2);
    CHECK(statistics.connections_made == 0);
    CHECK(oche_cancel(session.get(), 8) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("what is no pending request of the session is not cancelled: INVALID_ARGUMENT")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const SessionPointer other = open_session();
    CHECK(oche_cancel(session.get(), 1) == TCP_ERR_INVALID_ARGUMENT);
    const PeerListener listener;
    const FullListener full;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    CHECK(oche_cancel(session.get(), 1) == TCP_ERR_INVALID_ARGUMENT); // it has completed
    REQUIRE(oche_read(session.get(), 2, handle) == 0);
    CHECK(oche_cancel(other.get(), 2) == TCP_ERR_INVALID_ARGUMENT);
    const oche_connect_options options = to(full.address(), full.port());
    REQUIRE(oche_connect(other.get(), 3, &options) == 0);
    CHECK(oche_cancel(session.get(), 3) == TCP_ERR_INVALID_ARGUMENT);

    const Peer peer = listener.accept();
    peer.send("x");
    const oche_completion read = next_completion(session.get());
    CHECK(read.request_id == 2);
    CHECK(read.result == 1);
    oche_data_free(read.data_owner);
    CHECK(statistics_of(other.get()).session_handles == 1);
    CHECK(oche_cancel(other.get(), 3) == 0);
    CHECK(next_completion(other.get()).result == TCP_ERR_CLOSED);
}

TEST_CASE("with quiet_writes a write with a request id of 0 or less completes only if it fails")
{
    const Daemon daemon;
    auto quiet = sized<oche_session_options>();
    quiet.quiet_writes = true;
    const SessionPointer session = open_session(&quiet);
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    const Peer peer = listener.accept();
    for (const int64_t id : {int64_t{0}, int64_t{-1}, INT64_MIN, int64_t{1}}) {
        REQUIRE(oche_write(session.get(), id, handle, "x", 1) == 0);
    }
    oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 1);
    CHECK(completion.result == 1);
    CHECK_FALSE(oche_session_pop(session.get(), &completion));

    const std::string much(32 << 20, 'x');
    REQUIRE(oche_write(session.get(), -2, handle, much.data(), much.size()) == 0);
    REQUIRE(oche_write(session.get(), 0, handle, "x", 1) == 0);
    REQUIRE(oche_close(session.get(), 3, handle) == 0);
    for (const int64_t id : {-2, 0, 3}) {
        completion = next_completion(session.get());
        CHECK(completion.request_id == id);
        CHECK(completion.result == (id == 3 ? 0 : TCP_ERR_CLOSED));
    }
}

TEST_CASE("a failure carries errno without being asked for it")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const Address address = loopback4();
    const oche_connect_options options = to(address, free_port());
    REQUIRE(oche_connect(session.get(), 5, &options) == 0);
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.result == TCP_ERR_CONNECT_FAILED);
    CHECK(completion.os_error == ECONNREFUSED);
}

TEST_CASE("options are set with a completion, and the getters know them")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    CHECK(oche_get_no_delay(session.get(), handle) == 0);
    REQUIRE(oche_set_no_delay(session.get(), 2, handle, true) == 0);
    CHECK(next_completion(session.get()).result == 0);
    CHECK(oche_get_no_delay(session.get(), handle) == 1);
    REQUIRE(oche_set_keep_alive(session.get(), 3, handle, true) == 0);
    CHECK(next_completion(session.get()).result == 0);
    CHECK(oche_get_keep_alive(session.get(), handle) == 1);
}

TEST_CASE("the statistics count sessions, connections and bytes")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const SessionPointer other = open_session();
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    const Peer peer = listener.accept();
    REQUIRE(oche_write(session.get(), 2, handle, "12345", 5) == 0);
    CHECK(next_completion(session.get()).result == 5);
    peer.send("123");
    REQUIRE(oche_read(session.get(), 3, handle) == 0);
    const oche_completion read = next_completion(session.get());
    CHECK(read.result == 3);
    oche_data_free(read.data_owner);

    auto statistics = sized<oche_statistics>();
    REQUIRE(oche_get_statistics(session.get(), 4, &statistics) == 0);
    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 4);
    CHECK(completion.result == 0);
    CHECK(statistics.sessions_open == 2);
    CHECK(statistics.sessions_total == 2);
    CHECK(statistics.sockets_open == 1);
    CHECK(statistics.connections_made == 1);
    CHECK(statistics.connections_accepted == 0);
    CHECK(statistics.bytes_sent == 5);
    CHECK(statistics.bytes_received == 3);
    CHECK(statistics.session_handles == 1);
    CHECK(statistics.session_queued_bytes == 0);
}

TEST_CASE("data outlives its session")
{
    const Daemon daemon;
    SessionPointer session = open_session();
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    const Peer peer = listener.accept();
    const std::string sent = pattern(1000);
    peer.send(sent);
    REQUIRE(oche_read(session.get(), 2, handle) == 0);
    const oche_completion completion = next_completion(session.get());
    REQUIRE(completion.result > 0);
    session.reset();
    const std::string received(reinterpret_cast<char *>(completion.data), static_cast<size_t>(completion.result));
    CHECK(received == sent.substr(0, received.size()));
    oche_data_free(completion.data_owner);
    oche_data_free(nullptr);
}

TEST_CASE("closing a session drops what is pending and frees what was not popped")
{
    const Daemon daemon;
    SessionPointer session = open_session();
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    const Peer peer = listener.accept();
    peer.send(pattern(5000));
    REQUIRE(oche_read(session.get(), 2, handle) == 0);
    REQUIRE(oche_write(session.get(), 3, handle, "x", 1) == 0);
    std::this_thread::sleep_for(moment);
    oche_session_dispatch(session.get());
    REQUIRE(oche_write(session.get(), 4, handle, "y", 1) == 0);
    session.reset();
    CHECK(peer.end() != End::none);
    oche_session_close(nullptr);
}

TEST_CASE("a lost session completes what was pending, refuses more, and can be reopened")
{
    Daemon daemon;
    const SessionPointer session = open_session();
    CHECK(oche_session_reopen(session.get()) == 0); // it is not lost
    const int fd = oche_session_get_fd(session.get());
    const PeerListener listener;
    const int64_t handle = connect_to(session.get(), {loopback4(), listener.port()});
    REQUIRE(oche_read(session.get(), 2, handle) == 0);
    daemon.kill(SIGKILL);
    CHECK(daemon.wait() == 128 + SIGKILL);

    const oche_completion completion = next_completion(session.get());
    CHECK(completion.request_id == 2);
    CHECK(completion.result == TCP_ERR_DAEMON_LOST);
    CHECK(oche_session_dispatch(session.get()) == TCP_ERR_DAEMON_LOST);
    const Address address = loopback4();
    const oche_connect_options options = to(address, listener.port());
    CHECK(oche_connect(session.get(), 3, &options) == TCP_ERR_DAEMON_LOST);
    CHECK(oche_cancel(session.get(), 3) == TCP_ERR_DAEMON_LOST);

    REQUIRE(oche_session_reopen(session.get()) == 0);
    CHECK(oche_session_get_fd(session.get()) == fd);
    CHECK(daemon.place().starts() == 1);
    CHECK(oche_read(session.get(), 4, handle) == TCP_ERR_INVALID_HANDLE);
    const int64_t again = connect_to(session.get(), {loopback4(), listener.port()});
    CHECK(again != handle);
}

TEST_CASE("never_start opens no session when nobody serves, and says so")
{
    const Place place;
    auto options = sized<oche_session_options>();
    options.never_start = true;
    oche_session *session = reinterpret_cast<oche_session *>(1);
    CHECK(oche_session_open(&options, &session) == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(session == nullptr);
    CHECK(std::string(oche_last_error()).find(place.socket_path()) != std::string::npos);
    CHECK(place.starts() == 0);
}

TEST_CASE("the paths of the options go before those of the environment")
{
    const Daemon daemon;
    const std::string path = daemon.place().socket_path();
    setenv("OCHE_SOCKET", "/nonexistent/oched.sock", 1);
    auto options = sized<oche_session_options>();
    options.socket_path = path.c_str();
    options.never_start = true;
    const SessionPointer session = open_session(&options);
    CHECK(oche_session_dispatch(session.get()) == 0);
}

TEST_CASE("the descriptor of an idle session is not readable")
{
    const Daemon daemon;
    const SessionPointer session = open_session();
    const PeerListener listener;
    connect_to(session.get(), {loopback4(), listener.port()});
    oche_session_dispatch(session.get());
    pollfd waited{oche_session_get_fd(session.get()), POLLIN, 0};
    CHECK(poll(&waited, 1, static_cast<int>(moment.count())) == 0);
}
