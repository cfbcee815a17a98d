// What the peer reads is what was written, or the beginning of it and a reset: never a stream with a hole, and never
// the end of the stream where bytes are missing.
#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <future>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/stream.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
constexpr size_t much = 12 << 20; // more than the buffers of two sockets

DaemonOptions with(std::vector<std::string> arguments)
{
    DaemonOptions options;
    options.arguments = std::move(arguments);
    return options;
}

WireFrame write_frame(int64_t request_id, int64_t handle, std::string payload, uint16_t flags = 0)
{
    WireFrame frame = plain_frame(FRAME_WRITE, request_id, handle);
    frame.header.flags = flags;
    frame.payload = std::move(payload);
    frame.header.payload_length = static_cast<uint32_t>(frame.payload.size());
    return frame;
}

std::string bytes_of(const WireFrame &frame)
{
    return encoded(frame.header) + frame.body + frame.payload;
}

// A session that has taken up what the user may have queued.
class Hoarder
{
  public:
    Hoarder()
    {
        isolate_.start();
        pair_.emplace(connected(isolate_));
        const std::string piece(50'000, 'h');
        do {
            writes_.push_back(isolate_.write(pair_->handle, piece));
        } while (isolate_.is_pending(writes_.back(), std::chrono::milliseconds(5)) ||
                 isolate_.result(writes_.back()) != TCP_ERR_QUOTA);
    }

    void let_go()
    {
        pair_->peer.reset();
        CHECK(isolate_.result(isolate_.abort(pair_->handle)) == 0);
    }

  private:
    Isolate isolate_;
    std::optional<Pair> pair_;
    std::vector<Request> writes_;
};

// Writes a stream in pieces, without waiting.
class Writer
{
  public:
    Writer(Isolate &isolate, int64_t handle) : isolate_(isolate), handle_(handle)
    {
    }

    void write(size_t size, size_t times = 1)
    {
        for (size_t i = 0; i < times; i++, written_ += size) {
            writes_.push_back(isolate_.write(handle_, stream_.text(written_, size)));
            sizes_.push_back(size);
        }
    }

    // The results so far: success up to the first that was refused, and from then on the code that it was refused with.
    // Returns that code, or 0.
    int64_t settle()
    {
        int64_t failure = 0;
        for (size_t i = 0; i < writes_.size(); i++) {
            const int64_t result = isolate_.result(writes_[i]);
            CAPTURE(i);
            failure = failure == 0 && result < 0 ? result : failure;
            CHECK(result == (failure != 0 ? failure : static_cast<int64_t>(sizes_[i])));
            taken_ += result > 0 ? sizes_[i] : 0;
        }
        writes_.clear();
        sizes_.clear();
        return failure;
    }

    // The peer reads it as it should: all, or the beginning with all that has succeeded, and a reset.
    void check(const Rest &rest, bool all) const
    {
        CHECK(rest.bytes.size() >= taken_);
        CHECK(rest.bytes.size() <= written_);
        CHECK(stream_.has(0, rest.bytes));
        CHECK((rest.end == (all ? End::fin : End::reset)));
        CHECK((!all || rest.bytes.size() == written_));
    }

  private:
    Isolate &isolate_;
    int64_t handle_;
    Stream stream_;
    size_t written_ = 0;
    size_t taken_ = 0;
    std::vector<Request> writes_;
    std::vector<size_t> sizes_;
};
} // namespace

TEST_CASE("after a write that the daemon refuses all later ones fail alike, and the connection ends with a reset")
{
    const Daemon daemon(with({"--user-max-queued-bytes", "1000000"}));
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    Writer writer(isolate, pair.handle);
    writer.write(1000);
    CHECK(writer.settle() == 0);
    Hoarder hoarder;
    writer.write(150'000, 8);
    CHECK(writer.settle() == TCP_ERR_QUOTA);
    hoarder.let_go();
    writer.write(150'000, 4);
    writer.write(0);
    CHECK(isolate.result(isolate.close_write(pair.handle)) == TCP_ERR_QUOTA);
    CHECK(writer.settle() == TCP_ERR_QUOTA);
    // Reading is not affected.
    pair.peer.send("still here");
    CHECK(isolate.read_exactly(pair.handle, 10) == "still here");
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    writer.check(pair.peer.rest(), false);

    // Nor is another connection of the session.
    const Pair other = connected(isolate);
    Writer again(isolate, other.handle);
    again.write(150'000);
    CHECK(again.settle() == 0);
    CHECK(isolate.result(isolate.close(other.handle)) == 0);
    again.check(other.peer.rest(), true);
}

TEST_CASE("however much of pipelined writes is refused, the peer reads all of them or the beginning and a reset")
{
    const Daemon daemon(with({"--user-max-queued-bytes", "2000000"}));
    Isolate isolate;
    isolate.start();
    size_t refused = 0;
    for (size_t round = 0; round < 10; round++) {
        CAPTURE(round);
        const Pair pair = connected(isolate);
        Writer writer(isolate, pair.handle);
        {
            // So that as many as possible come together.
            const Stopped stopped(daemon.pid());
            writer.write(100'000 + 80'000 * round, 8);
            writer.write(10);
        }
        auto rest = std::async(std::launch::async, [&] { return pair.peer.rest(); });
        const bool all = writer.settle() == 0;
        refused += !all;
        CHECK(isolate.result(isolate.close(pair.handle)) == 0);
        writer.check(rest.get(), all);
    }
    CHECK((refused > 0 || lane_under_test() == "plain"));
}

TEST_CASE("library and daemon count alike: what the library takes on, the daemon does not refuse")
{
    const Daemon daemon(with({"--max-queued-bytes", "1048576"}));
    Isolate isolate;
    isolate.start();
    const Pair stuck = connected(isolate);
    const Pair other = connected(isolate);
    const std::string piece(50'000, 'x');
    std::vector<Request> waiting;
    do {
        waiting.push_back(isolate.write(stuck.handle, piece));
        REQUIRE(waiting.back().returned == 0);
    } while (!isolate.is_pending(waiting.back()));
    {
        const Stopped stopped(daemon.pid());
        for (int i = 0; i < 40; i++) {
            waiting.push_back(isolate.close_write(stuck.handle));
            REQUIRE(waiting.back().returned == 0);
        }
        std::vector<Request> writes;
        for (size_t size = 1 << 20; size > 0; size /= 2) {
            writes.push_back(isolate.write(other.handle, std::string(size, 'y')));
        }
        CHECK(isolate.result(writes.front()) == TCP_ERR_OUT_OF_MEMORY);
        std::copy_if(writes.begin() + 1, writes.end(), std::back_inserter(waiting),
                     [](const Request &write) { return write.returned == 0; });
    }
    CHECK(isolate.result(isolate.close_write(other.handle)) == 0);
    CHECK((other.peer.rest().end == End::fin));
    CHECK((stuck.peer.rest().end == End::fin));
    for (const Request &request : waiting) {
        CHECK(isolate.result(request) >= 0);
    }
}

TEST_CASE("a long write whose last part is empty is answered with the total")
{
    const Daemon daemon;
    const PeerListener listener;
    Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto connect = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
    REQUIRE(connect);
    const Peer peer = listener.accept();
    const int64_t handle = connect->header.value;
    wire.send(write_frame(2, handle, "some", FRAME_MORE));
    CHECK(peer.receive(4) == "some"); // it has left: nothing is queued
    const auto answer = wire.ask(write_frame(2, handle, ""));
    REQUIRE(answer);
    CHECK(answer->header.value == 4);
}

TEST_CASE("a session that ends with a malformed frame resets its connections")
{
    const Daemon daemon;
    const PeerListener listener;
    Wire wire(daemon.place().socket_path());
    wire.hello();
    std::vector<int64_t> handles;
    std::vector<Peer> peers;
    for (int64_t i = 0; i < 3; i++) {
        const auto connect = wire.ask(connect_frame(i, {loopback4(), listener.port()}));
        REQUIRE(connect);
        handles.push_back(connect->header.value);
        peers.push_back(listener.accept());
    }
    const Stream stream;
    for (size_t at = 0; at < much; at += 1 << 18) {
        wire.send(write_frame(10, handles[0], stream.text(at, 1 << 18)));
    }
    wire.send(write_frame(11, handles[1], "begun", FRAME_MORE));
    wire.send(write_frame(12, handles[2], "in the midst of another one"));
    CHECK(daemon.logs("event=malformed"));
    const Rest much_of_it = peers[0].rest();
    CHECK((much_of_it.end == End::reset));
    CHECK(stream.has(0, much_of_it.bytes));
    CHECK((peers[1].rest().end == End::reset));
    CHECK((peers[2].rest().end == End::reset));
}

TEST_CASE("a client that ends in the middle of a write leaves no end of the stream behind")
{
    const Daemon daemon;
    const PeerListener listener;
    for (const bool in_a_frame : {false, true}) {
        CAPTURE(in_a_frame);
        std::optional<Peer> torn;
        std::optional<Peer> other;
        {
            Wire wire(daemon.place().socket_path());
            wire.hello();
            const auto one = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
            torn = listener.accept();
            const auto two = wire.ask(connect_frame(2, {loopback4(), listener.port()}));
            other = listener.accept();
            REQUIRE((one && two));
            const std::string bytes =
                bytes_of(write_frame(3, one->header.value, std::string(100'000, 'x'), FRAME_MORE));
            wire.send_bytes(bytes.substr(0, in_a_frame ? bytes.size() / 2 : bytes.size()));
        }
        const Rest rest = torn->rest();
        CHECK((rest.bytes == std::string(in_a_frame ? 0 : 100'000, 'x')));
        CHECK((rest.end == End::reset));
        CHECK((other->rest().end == End::fin));
    }
}

TEST_CASE("what is not sent when the time to leave is over ends with a reset")
{
    Daemon daemon(with({"--drain-timeout", "1"}));
    Isolate isolate;
    isolate.start();
    const Pair open = connected(isolate);
    const Pair closed = connected(isolate);
    const Pair idle = connected(isolate);
    Writer of_open(isolate, open.handle);
    Writer of_closed(isolate, closed.handle);
    of_open.write(much);
    of_closed.write(much);
    CHECK(isolate.result(isolate.close(closed.handle)) == 0);
    daemon.kill(SIGTERM);
    CHECK(daemon.wait() == 0);
    of_open.check(open.peer.rest(), false);
    of_closed.check(closed.peer.rest(), false);
    CHECK((idle.peer.rest().end == End::fin));
}

TEST_CASE("on the plain lane a client that dies while the daemon answers loses nothing of what it has written")
{
    const Daemon daemon;
    const PeerListener listener;
    const Stream stream;
    constexpr size_t each = 1000;
    constexpr size_t count = 100; // more than the daemon takes from the socket at a time, and less than that holds
    std::string bytes;
    std::optional<Peer> peer;
    {
        Wire wire(daemon.place().socket_path());
        wire.hello();
        const auto connect = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
        REQUIRE(connect);
        peer = listener.accept();
        const Stopped stopped(daemon.pid());
        for (size_t i = 0; i < count; i++) {
            bytes += bytes_of(write_frame(2, connect->header.value, stream.text(i * each, each)));
        }
        wire.send_bytes(bytes);
        shutdown(wire.fd(), SHUT_RDWR);
    }
    const Rest rest = peer->rest();
    CHECK(rest.bytes.size() == count * each);
    CHECK(stream.has(0, rest.bytes));
    CHECK((rest.end == End::fin));
}
