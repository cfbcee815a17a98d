// The end of a client, or of a handle, is not the end of what was written.
#include <catch2/catch.hpp>

#include <csignal>
#include <optional>
#include <string>
#include <sys/socket.h>

#include "tests/support/companion.h"
#include "tests/support/counters.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/memory_wire.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
constexpr size_t mib = 1024 * 1024;
constexpr size_t much = 12 * mib; // more than the buffers of two sockets

WireFrame write_frame(int64_t request_id, int64_t handle, const std::string &payload)
{
    WireFrame frame = plain_frame(FRAME_WRITE, request_id, handle);
    frame.payload = payload;
    return frame;
}

// Comes back when the daemon has everything that was requested so far: on the plain lane that takes a while.
void hand_over(const Isolate &isolate, int64_t handle)
{
    REQUIRE(isolate.inside([&] { return tcp_set_no_delay(handle, true); }) == 0);
}
} // namespace

TEST_CASE("what was written before tcp_destroy arrives at a peer that takes its time, and then the end")
{
    const Daemon daemon;
    const std::string sent = pattern(much);
    Isolate isolate;
    isolate.start();
    const Pair slow = connected(isolate);
    const Pair idle = connected(isolate);
    const Request write = isolate.write(slow.handle, sent);
    hand_over(isolate, idle.handle);
    CHECK(isolate.is_pending(write));
    CHECK(isolate.destroy() == 0);
    CHECK(isolate.result(write) == TCP_ERR_CLOSED);
    // A connection with nothing to send does not wait for one that has.
    CHECK(idle.peer.end() == End::fin);
    CHECK((slow.peer.receive_all() == sent));
    CHECK(daemon.logs("event=end"));
}

TEST_CASE("what a process wrote before it was killed arrives")
{
    const Daemon daemon;
    const PeerListener listener;
    Companion companion;
    REQUIRE(companion.number("init") == 0);
    const int64_t handle = companion.number("connect " + std::to_string(listener.port()));
    const Peer peer = listener.accept();
    const std::string line(1000, 'x');
    size_t written = 0;
    for (int i = 0; i < 20; i++, written += line.size()) {
        REQUIRE(companion.number("write " + std::to_string(handle) + " " + line) == 1000);
    }
    companion.process().kill(SIGKILL);
    CHECK(peer.receive_all().size() == written);
}

TEST_CASE("requests that a client left in the ring when it ended are still looked at")
{
    const Daemon daemon;
    const PeerListener listener;
    std::optional<Peer> peer;
    {
        MemoryWire wire(daemon.place().socket_path());
        const int64_t handle = wire.connect(listener.port());
        peer = listener.accept();
        const Stopped stopped(daemon.pid()); // so that it hears of the request and of the end together
        wire.send(write_frame(1, handle, "not lost"));
        shutdown(wire.socket().fd(), SHUT_RDWR);
    }
    CHECK(peer->receive_all() == "not lost");
}

TEST_CASE("a peer that resets ends the lingering")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, std::string(much, 'x'));
    hand_over(isolate, pair.handle);
    CHECK(isolate.is_pending(write));
    CHECK(isolate.destroy() == 0);
    CHECK(daemon.logs("event=linger"));
    pair.peer.reset();
    CHECK(daemon.logs("event=end"));
}

TEST_CASE("SIGTERM lets a client that is gone finish")
{
    Daemon daemon;
    const std::string sent = pattern(much);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request write = isolate.write(pair.handle, sent);
    hand_over(isolate, pair.handle);
    CHECK(isolate.is_pending(write));
    CHECK(isolate.destroy() == 0);
    daemon.kill(SIGTERM);
    CHECK((pair.peer.receive_all() == sent));
    CHECK(daemon.wait() == 0);
}

TEST_CASE("what was written before close arrives, also behind close_write, and at a peer that takes its time")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const std::string sent = pattern(much);
    for (const std::string how : {"close", "close_write and close", "close of the listener"}) {
        CAPTURE(how);
        const Pair pair = accepted(isolate, listener);
        const Request write = isolate.write(pair.handle, sent);
        std::optional<Request> close_write;
        if (how == "close_write and close") {
            close_write = isolate.close_write(pair.handle);
        }
        const Request close =
            how == "close of the listener" ? isolate.listener_close(listener, true) : isolate.close(pair.handle);
        CHECK(isolate.result(close) == 0);
        CHECK(isolate.result(write) == TCP_ERR_CLOSED);
        CHECK((!close_write || isolate.result(*close_write) == TCP_ERR_CLOSED));
        const Rest rest = pair.peer.rest();
        CHECK((rest.bytes == sent));
        CHECK((rest.end == End::fin));
    }
}

TEST_CASE("what a session wrote before it closed and ended arrives")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(much);
    CHECK(isolate.write(pair.handle, sent).returned == 0);
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    CHECK(isolate.destroy() == 0);
    CHECK(daemon.logs("event=linger "));
    daemon.kill(SIGTERM);
    const Rest rest = pair.peer.rest();
    CHECK((rest.bytes == sent));
    CHECK((rest.end == End::fin));
    CHECK(daemon.wait() == 0);
}

TEST_CASE("what is still sent after close is the user's burden, and not the session's")
{
    DaemonOptions options;
    options.arguments = {"--max-queued-bytes", "16000000", "--max-handles", "4", "--user-max-handles", "4"};
    const Daemon daemon(options);
    const Counters counters;
    Isolate isolate;
    isolate.start();
    const std::string sent = pattern(much);
    std::vector<Pair> closed;
    for (int i = 0; i < 3; i++) {
        closed.push_back(connected(isolate));
        const Request write = isolate.write(closed.back().handle, sent);
        CHECK(isolate.result(isolate.close(closed.back().handle)) == 0);
        CHECK(isolate.result(write) == TCP_ERR_CLOSED);
    }
    oche_statistics now = counters.look();
    CHECK(now.user_handles.used == 3);
    CHECK(now.user_queued_bytes.used >= 3);
    CHECK(now.user_requests.used == 0);

    // The session has its whole queue again, but the user has one handle left.
    const Pair other = connected(isolate);
    CHECK(isolate.result(isolate.connect({loopback4(), 1})) == TCP_ERR_QUOTA);
    const std::string most(16'000'000 - 64, 'y');
    const Request write = isolate.write(other.handle, most);
    CHECK((other.peer.receive(most.size()) == most));
    CHECK(isolate.result(write) == static_cast<int64_t>(most.size()));

    CHECK((closed[0].peer.end() == End::fin));
    closed[1].peer.reset();
    CHECK(eventually([&] { return counters.look().user_handles.used == 2; }));
    CHECK((closed[2].peer.end() == End::fin));
    CHECK(eventually([&] { return counters.look().user_handles.used == 1; }));
    CHECK(counters.look().user_queued_bytes.used == 0);
}
