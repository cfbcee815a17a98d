// What oche_isolate_enable() adds to the messages to the isolate's port: several completions in one, errno in the place
// of null, and no word about writes that nobody asks about.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <stdexcept>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/peer.h"
#include "tests/support/report.h"

using namespace test_support;

namespace
{
// An isolate whose messages are looked at as they come, in their order.
class Listener
{
  public:
    Listener()
    {
        const vm::InIsolate here(identity_);
        if (tcp_init(vm::data(), port_.number()) != 0) {
            throw std::runtime_error(oche_last_error());
        }
    }
    ~Listener()
    {
        {
            const vm::InIsolate here(identity_);
            tcp_destroy();
        }
        for (const auto &violation : vm::take_violations()) {
            report_failure(violation);
        }
    }
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;

    // Nothing may be under way.
    int64_t enable(int64_t features)
    {
        const vm::InIsolate here(identity_);
        const int64_t result = oche_isolate_enable(features);
        if (result == 0) {
            port_.allow_batches(features & OCHE_FEATURE_BATCHED_POSTS);
        }
        return result;
    }

    // That many completions, or fewer if time is up.
    std::vector<Message> take(size_t count)
    {
        std::vector<Message> messages;
        const auto deadline = Clock::now() + patience;
        while (messages.size() < count && Clock::now() < deadline) {
            for (Message &message : port_.take(moment)) {
                messages.push_back(std::move(message));
            }
        }
        return messages;
    }

    bool is_silent()
    {
        return port_.take(moment).empty();
    }

    int64_t connect(const PeerListener &to)
    {
        const vm::InIsolate here(identity_);
        const int64_t returned = tcp_connect(1, to.address().data(), 4, to.port(), nullptr, 0, 0);
        const auto messages = returned == 0 ? take(1) : std::vector<Message>();
        if (messages.size() != 1 || messages[0].result <= 0) {
            throw std::runtime_error("a connect that must succeed fails");
        }
        return messages[0].result;
    }

    int64_t write(int64_t id, int64_t handle, std::string_view bytes) const
    {
        const vm::InIsolate here(identity_);
        return as_leaf([&] {
            return tcp_write(id, handle, reinterpret_cast<const uint8_t *>(bytes.data()), 0,
                             static_cast<int64_t>(bytes.size()));
        });
    }

    int64_t read(int64_t id, int64_t handle) const
    {
        const vm::InIsolate here(identity_);
        return as_leaf([&] { return tcp_read(id, handle); });
    }

  private:
    // Not the address of an isolate that tests/support/isolate.cc makes up.
    static inline uintptr_t last_address_ = 0x7000'0000;
    vm::Identity identity_{reinterpret_cast<void *>(last_address_ += 64)};
    Port port_;
};

// Makes `count` writes that all complete at about the same time, with the ids from `first` on.
void write_many(const Daemon &daemon, const Listener &listener, int64_t handle, int64_t first, int64_t count)
{
    const Stopped stopped(daemon.pid());
    for (int64_t id = first; id < first + count; id++) {
        REQUIRE(listener.write(id, handle, "x") == 0);
    }
}

Request write_with_id(Isolate &isolate, int64_t id, int64_t handle, std::string_view bytes)
{
    return isolate.made(id, isolate.inside([&] {
        return as_leaf([&] {
            return tcp_write(id, handle, reinterpret_cast<const uint8_t *>(bytes.data()), 0,
                             static_cast<int64_t>(bytes.size()));
        });
    }));
}

// Quiet writes behind one that succeeds; the first of them is more than the buffers of both sides take.
std::vector<Request> stuck_quiet_writes(Isolate &isolate, const Pair &pair)
{
    REQUIRE(isolate.enable(OCHE_FEATURE_QUIET_WRITES | OCHE_FEATURE_ERROR_DETAIL) == 0);
    REQUIRE(write_with_id(isolate, -1, pair.handle, "quiet").returned == 0);
    REQUIRE(isolate.result(isolate.write(pair.handle, "loud")) == 4);
    std::vector<Request> writes{
        write_with_id(isolate, -2, pair.handle, std::string(32 << 20, 'x')),
        write_with_id(isolate, -3, pair.handle, "more"),
        write_with_id(isolate, INT64_MIN, pair.handle, "more"),
        write_with_id(isolate, 0, pair.handle, "more"),
    };
    CHECK(isolate.is_pending(writes.front()));
    return writes;
}

// Each has ended once, with its id and this code, and nothing else was posted.
void check_ended(Isolate &isolate, const std::vector<Request> &writes, int64_t code)
{
    for (const Request &write : writes) {
        CAPTURE(write.id);
        CHECK(isolate.result(write) == code);
    }
    CHECK(isolate.untaken() == 0);
}

size_t largest_batch(const std::vector<Message> &messages)
{
    size_t largest = 0;
    for (const Message &message : messages) {
        largest = std::max(largest, message.together);
    }
    return largest;
}
} // namespace

TEST_CASE("batched posts bring several completions in one message, each once and in their order")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_BATCHED_POSTS) == 0);
    constexpr int64_t count = 300;
    write_many(daemon, listener, handle, 100, count);
    const auto messages = listener.take(count);
    REQUIRE(messages.size() == count);
    for (int64_t i = 0; i < count; i++) {
        const Message &message = messages[static_cast<size_t>(i)];
        REQUIRE(message.request_id == 100 + i);
        CHECK(message.result == 1);
        CHECK_FALSE(message.data);
        CHECK_FALSE(message.os_error);
    }
    CHECK(largest_batch(messages) > 1);
    CHECK(largest_batch(messages) <= 64);
    CHECK(listener.is_silent());
}

TEST_CASE("without batched posts each completion is a message of its own, also when many come together")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    write_many(daemon, listener, handle, 100, 200);
    CHECK(largest_batch(listener.take(200)) == 1);
    REQUIRE(listener.enable(OCHE_FEATURE_BATCHED_POSTS) == 0);
    write_many(daemon, listener, handle, 1000, 200);
    CHECK(largest_batch(listener.take(200)) > 1);
    REQUIRE(listener.enable(0) == 0);
    write_many(daemon, listener, handle, 2000, 200);
    CHECK(largest_batch(listener.take(200)) == 1);
    CHECK(listener.is_silent());
}

TEST_CASE("data come in batches too, each with its own finalizer")
{
    const Daemon daemon;
    {
        Listener listener;
        const PeerListener target;
        constexpr int64_t count = 100;
        std::vector<Peer> peers;
        std::map<int64_t, std::string> expected;
        std::vector<int64_t> handles;
        for (int64_t i = 0; i < count; i++) {
            handles.push_back(listener.connect(target));
            peers.push_back(target.accept());
        }
        REQUIRE(listener.enable(OCHE_FEATURE_BATCHED_POSTS) == 0);
        for (size_t i = 0; i < handles.size(); i++) {
            const auto id = static_cast<int64_t>(1000 + i);
            REQUIRE(listener.read(id, handles[i]) == 0);
            expected[id] = "message " + std::to_string(i);
        }
        {
            const Stopped stopped(daemon.pid());
            for (size_t i = 0; i < peers.size(); i++) {
                peers[i].send("message " + std::to_string(i));
            }
        }
        const auto messages = listener.take(count);
        REQUIRE(messages.size() == count);
        for (const Message &message : messages) {
            REQUIRE(message.data);
            CHECK(message.data->bytes() == expected[message.request_id]);
            expected.erase(message.request_id);
        }
        CHECK(expected.empty());
        CHECK(largest_batch(messages) > 1);
    }
    CHECK(ExternalBytes::alive() == 0);
}

TEST_CASE("error detail comes in batches too")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    Peer peer = target.accept();
    const int64_t good = listener.connect(target);
    const Peer good_peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_BATCHED_POSTS | OCHE_FEATURE_ERROR_DETAIL) == 0);
    {
        const Stopped stopped(daemon.pid());
        REQUIRE(listener.read(1, handle) == 0);
        REQUIRE(listener.write(2, good, "fine") == 0);
        peer.reset();
    }
    std::map<int64_t, Message> messages;
    for (Message &message : listener.take(2)) {
        messages.emplace(message.request_id, std::move(message));
    }
    REQUIRE(messages.size() == 2);
    CHECK(messages.at(1).result == TCP_ERR_READ_FAILED);
    CHECK(messages.at(1).os_error == ECONNRESET);
    CHECK(messages.at(2).result == 4);
    CHECK_FALSE(messages.at(2).os_error);
}

TEST_CASE("with quiet writes a write with request id 0 posts nothing when it succeeds")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    for (int i = 0; i < 100; i++) {
        REQUIRE(listener.write(0, handle, "quiet") == 0);
    }
    REQUIRE(listener.write(7, handle, "loud") == 0);
    const auto messages = listener.take(1);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].request_id == 7);
    CHECK(messages[0].result == 4);
    CHECK(peer.receive(504).size() == 504);
    CHECK(listener.is_silent());

    // Off again, it is a number like any other.
    REQUIRE(listener.enable(0) == 0);
    REQUIRE(listener.write(0, handle, "loud") == 0);
    const auto loud = listener.take(1);
    REQUIRE(loud.size() == 1);
    CHECK(loud[0].request_id == 0);
    CHECK(loud[0].result == 4);
}

TEST_CASE("with quiet writes only writes are quiet")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    REQUIRE(listener.read(0, handle) == 0);
    peer.send("data");
    const auto messages = listener.take(1);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].request_id == 0);
    CHECK(messages[0].result == 4);
}

TEST_CASE("with quiet writes a write with request id 0 that fails posts its failure")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES | OCHE_FEATURE_ERROR_DETAIL) == 0);
    peer.reset();
    std::vector<Message> messages;
    for (int i = 0; i < 100 && messages.empty(); i++) {
        REQUIRE(listener.write(0, handle, "nobody hears this") == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        messages = listener.take(1);
    }
    REQUIRE_FALSE(messages.empty());
    CHECK(messages[0].request_id == 0);
    CHECK(messages[0].result == TCP_ERR_WRITE_FAILED);
    CHECK(messages[0].os_error.value_or(0) != 0);
}

TEST_CASE("with quiet writes a write with a negative request id posts nothing when it succeeds")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    // Without the feature it is a number like any other.
    REQUIRE(listener.write(-5, handle, "loud") == 0);
    const auto loud = listener.take(1);
    REQUIRE(loud.size() == 1);
    CHECK(loud[0].request_id == -5);
    CHECK(loud[0].result == 4);

    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    for (const int64_t id : {int64_t{-1}, int64_t{-2}, int64_t{INT32_MIN}, INT64_MIN + 1, INT64_MIN, int64_t{0}}) {
        REQUIRE(listener.write(id, handle, "quiet") == 0);
    }
    REQUIRE(listener.write(1, handle, "loud") == 0);
    REQUIRE(listener.write(INT64_MAX, handle, "loud") == 0);
    const auto messages = listener.take(2);
    REQUIRE(messages.size() == 2);
    CHECK(messages[0].request_id == 1);
    CHECK(messages[1].request_id == INT64_MAX);
    CHECK(peer.receive(42).size() == 42);
    CHECK(listener.is_silent());
}

TEST_CASE("a quiet write that is refused at once posts nothing")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    CHECK(listener.write(-1, handle + 1, "x") == TCP_ERR_INVALID_HANDLE);
    CHECK(listener.is_silent());
}

TEST_CASE("quiet writes may go on for ever: what was sent makes room in the queue though nobody is told")
{
    DaemonOptions options;
    options.arguments = {"--max-queued-bytes", "1048576"};
    const Daemon daemon(options);
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    for (const size_t size : {4000, 100'000}) {
        const std::string bytes(size, 'x');
        // Several times what the queue takes.
        for (size_t sent = 0; sent < 4 << 20; sent += size) {
            CAPTURE(size, sent);
            // It may be full for the moment.
            REQUIRE(eventually([&] { return listener.write(-1, handle, bytes) == 0; }));
            REQUIRE(peer.receive(size) == bytes);
        }
    }
    CHECK(listener.is_silent());
}

TEST_CASE("quiet writes that tcp_close cuts off post CLOSED with their ids, before the close completes")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const auto writes = stuck_quiet_writes(isolate, pair);
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
    for (const Request &write : writes) {
        CHECK_FALSE(isolate.is_pending(write, std::chrono::milliseconds(0)));
    }
    check_ended(isolate, writes, TCP_ERR_CLOSED);
}

TEST_CASE("quiet writes that the peer cuts off post WRITE_FAILED with their ids")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    Pair pair = connected(isolate);
    const auto writes = stuck_quiet_writes(isolate, pair);
    pair.peer.reset();
    check_ended(isolate, writes, TCP_ERR_WRITE_FAILED);
    REQUIRE(write_with_id(isolate, -4, pair.handle, "too late").returned == 0);
    const Outcome outcome = isolate.outcome({-4, 0, false});
    CHECK(outcome.result == TCP_ERR_WRITE_FAILED);
    CHECK(outcome.os_error.value_or(0) != 0);
}

TEST_CASE("quiet writes that are queued when the daemon is killed post DAEMON_LOST with their ids, and quiet they stay")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    auto writes = stuck_quiet_writes(isolate, pair);
    daemon.kill(SIGSTOP);
    writes.push_back(write_with_id(isolate, -4, pair.handle, "never seen by the daemon"));
    daemon.kill(SIGKILL);
    check_ended(isolate, writes, TCP_ERR_DAEMON_LOST);
    CHECK(daemon.wait() == 128 + SIGKILL);

    const Pair after = connected(isolate);
    REQUIRE(write_with_id(isolate, -5, after.handle, "quiet").returned == 0);
    CHECK(isolate.result(isolate.write(after.handle, "loud")) == 4);
    CHECK(after.peer.receive(9) == "quietloud");
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("quiet writes that are queued at tcp_destroy post CLOSED with their ids before it returns")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const auto writes = stuck_quiet_writes(isolate, pair);
    CHECK(isolate.destroy() == 0);
    CHECK(isolate.untaken() == writes.size());
    check_ended(isolate, writes, TCP_ERR_CLOSED);
}

TEST_CASE("a feature that does not exist is refused with INVALID_ARGUMENT, and those that are on stay on")
{
    const Daemon daemon;
    Listener listener;
    const PeerListener target;
    const int64_t handle = listener.connect(target);
    const Peer peer = target.accept();
    REQUIRE(listener.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    CHECK(listener.enable(OCHE_FEATURE_BATCHED_POSTS | 1 << 8) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(listener.enable(-1) == TCP_ERR_INVALID_ARGUMENT);
    REQUIRE(listener.write(0, handle, "quiet") == 0);
    CHECK(peer.receive(5) == "quiet");
    CHECK(listener.is_silent());
}

TEST_CASE("the features of one isolate are its own")
{
    const Daemon daemon;
    const PeerListener target;
    Listener quiet;
    Listener loud;
    REQUIRE(quiet.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    const int64_t handle = loud.connect(target);
    const Peer peer = target.accept();
    REQUIRE(loud.write(0, handle, "loud") == 0);
    CHECK(loud.take(1).size() == 1);
}
