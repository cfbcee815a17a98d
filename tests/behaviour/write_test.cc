// tcp_write: bytes arrive whole and in order, and queues have a limit.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <future>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/stream.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
int64_t write_raw(Isolate &isolate, int64_t handle, const char *data, int64_t offset, int64_t count)
{
    const int64_t id = isolate.next_id();
    return isolate.result(
        isolate.made(id, tcp_write(id, handle, reinterpret_cast<const uint8_t *>(data), offset, count)));
}

// True if the text is made of runs of `length` equal bytes.
bool is_made_of_blocks(const std::string &text, size_t length)
{
    for (size_t at = 0; at < text.size(); at += length) {
        if (text.compare(at, length, std::string(length, text[at])) != 0) {
            return false;
        }
    }
    return text.size() % length == 0;
}

// More than the kernel's buffers of a connection take.
constexpr size_t more_than_the_kernel_takes = 32 << 20;
} // namespace

TEST_CASE("a write completes with the count of bytes, and they arrive")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "hello")) == 5);
    CHECK(pair.peer.receive(5) == "hello");
}

TEST_CASE("a write starts at its offset")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(write_raw(isolate, pair.handle, "0123456789", 3, 4) == 4);
    CHECK(pair.peer.receive(4) == "3456");
}

TEST_CASE("the bytes have been copied when tcp_write returns")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(4 << 20);
    std::string buffer = sent;
    Request request{};
    {
        // Nothing can leave before the buffer changes.
        const Stopped stopped(daemon.pid());
        request = isolate.write(pair.handle, buffer);
        buffer.assign(buffer.size(), '!');
        buffer = std::string();
    }
    const std::string received = pair.peer.receive(sent.size());
    CHECK((received == sent));
    CHECK(isolate.result(request) == static_cast<int64_t>(sent.size()));
}

TEST_CASE("a write of zero bytes completes with 0, and sends nothing")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "")) == 0);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
    CHECK(isolate.result(isolate.write(pair.handle, "")) == 0);
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    CHECK(pair.peer.receive_all() == "x");
}

TEST_CASE("a write without data, or of a negative count or offset, is refused with INVALID_ARGUMENT")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(write_raw(isolate, pair.handle, nullptr, 0, 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(write_raw(isolate, pair.handle, "abc", 0, -1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(write_raw(isolate, pair.handle, "abc", -1, 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(write_raw(isolate, pair.handle, "abc", INT64_MIN, INT64_MIN) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(isolate.result(isolate.write(pair.handle, "still fine")) == 10);
    CHECK(pair.peer.receive(10) == "still fine");
}

TEST_CASE("64 MiB in one write arrive whole and in order")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(64 << 20);
    const Request request = isolate.write(pair.handle, sent);
    const std::string received = pair.peer.receive(sent.size());
    CHECK(received.size() == sent.size());
    CHECK((received == sent));
    CHECK(isolate.result(request) == static_cast<int64_t>(sent.size()));
}

TEST_CASE("several writes in flight on one connection never interleave, and complete in order")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    constexpr size_t length = 300'000; // more than one frame
    constexpr size_t count = 50;
    std::string expected;
    std::vector<Request> requests;
    for (size_t i = 0; i < count; i++) {
        const std::string block(length, static_cast<char>('A' + i));
        expected += block;
        requests.push_back(isolate.write(pair.handle, block));
    }
    const std::string received = pair.peer.receive(expected.size());
    CHECK((received == expected));
    for (const Request &request : requests) {
        CHECK(isolate.result(request) == static_cast<int64_t>(length));
    }
}

TEST_CASE("writes that several threads make on one connection never interleave")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    constexpr size_t length = 400'000;
    constexpr int64_t threads = 4;
    constexpr int64_t writes = 10;
    std::atomic<int> refused{0};
    std::vector<std::thread> writers;
    for (int64_t thread = 0; thread < threads; thread++) {
        writers.emplace_back([&, thread] {
            const std::string block(length, static_cast<char>('a' + thread));
            for (int64_t i = 0; i < writes; i++) {
                const auto *data = reinterpret_cast<const uint8_t *>(block.data());
                refused += tcp_write(writes * thread + i, pair.handle, data, 0, static_cast<int64_t>(length)) != 0;
            }
        });
    }
    const std::string received = pair.peer.receive(length * threads * writes);
    for (auto &writer : writers) {
        writer.join();
    }
    CHECK(refused == 0);
    CHECK(received.size() == length * threads * writes);
    CHECK(is_made_of_blocks(received, length));
    for (int64_t id = 0; id < threads * writes; id++) {
        CHECK(isolate.result({id, 0, false}) == static_cast<int64_t>(length));
    }
}

TEST_CASE("a peer that stops reading makes a write wait, not fail")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(more_than_the_kernel_takes);
    const Request request = isolate.write(pair.handle, sent);
    CHECK(isolate.is_pending(request, std::chrono::milliseconds(500)));
    const std::string received = pair.peer.receive(sent.size());
    CHECK((received == sent));
    CHECK(isolate.result(request) == static_cast<int64_t>(sent.size()));
}

TEST_CASE("a peer that stops reading holds up no other connection")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair stuck = connected(isolate);
    const Pair other = connected(isolate);
    const Request request = isolate.write(stuck.handle, std::string(more_than_the_kernel_takes, 'x'));
    for (int i = 0; i < 20; i++) {
        CHECK(isolate.result(isolate.write(other.handle, "ping")) == 4);
        CHECK(other.peer.receive(4) == "ping");
    }
    CHECK(isolate.is_pending(request, std::chrono::milliseconds(0)));
}

TEST_CASE("past the limit on queued bytes a write is refused with OUT_OF_MEMORY at once, and later ones work again")
{
    DaemonOptions options;
    options.arguments = {"--max-queued-bytes", "1048576"};
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string block(256 * 1024, 'q');

    // The kernel's buffers take some megabytes; after that the queue fills, and nothing leaves it.
    std::vector<Request> accepted;
    int64_t refusal = 0;
    const auto deadline = Clock::now() + patience;
    while (refusal == 0 && Clock::now() < deadline) {
        const Request request = isolate.write(pair.handle, block);
        if (request.returned < 0 || !isolate.is_pending(request, std::chrono::milliseconds(20))) {
            const int64_t result = isolate.result(request);
            refusal = result < 0 ? result : 0;
            accepted.resize(accepted.size() + (result > 0), Request{-1, 0, false});
        } else {
            accepted.push_back(request);
        }
    }
    CHECK(refusal == TCP_ERR_OUT_OF_MEMORY);

    // Of what was refused not a byte was sent, and of the rest every one.
    const std::string received = pair.peer.receive(accepted.size() * block.size());
    CHECK((received == std::string(accepted.size() * block.size(), 'q')));
    for (const Request &request : accepted) {
        CHECK((request.id == -1 || isolate.result(request) == static_cast<int64_t>(block.size())));
    }
    CHECK(isolate.result(isolate.write(pair.handle, "again")) == 5);
    CHECK(pair.peer.receive(5) == "again");
}

TEST_CASE("a single write larger than the limit on queued bytes is refused, and sends nothing")
{
    DaemonOptions options;
    options.arguments = {"--max-queued-bytes", "1048576"};
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, std::string((1 << 20) + 1, 'x'))) == TCP_ERR_OUT_OF_MEMORY);
    // Each write costs a little more than its bytes.
    const std::string most((1 << 20) - 4096, 'y');
    const Request request = isolate.write(pair.handle, most);
    CHECK((pair.peer.receive(most.size()) == most));
    CHECK(isolate.result(request) == static_cast<int64_t>(most.size()));
}

TEST_CASE("a write on a connection that was reset gives WRITE_FAILED, with errno, and no signal")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);
    Pair pair = connected(isolate);
    pair.peer.reset();
    Outcome outcome{};
    CHECK(eventually([&] {
        outcome = isolate.outcome(isolate.write(pair.handle, "into the void"));
        return outcome.result < 0;
    }));
    CHECK(outcome.result == TCP_ERR_WRITE_FAILED);
    CHECK((outcome.os_error == ECONNRESET || outcome.os_error == EPIPE));
    // The daemon lives on.
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("a reset fails all writes that are in flight, each once")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    Pair pair = connected(isolate);
    std::vector<Request> requests;
    for (int i = 0; i < 5; i++) {
        requests.push_back(isolate.write(pair.handle, std::string(more_than_the_kernel_takes / 2, 'x')));
    }
    CHECK(isolate.is_pending(requests[2]));
    pair.peer.reset();
    // What the kernel had taken before may count as written.
    CHECK(isolate.outcome(requests[0]).result != 0);
    for (size_t i = 2; i < requests.size(); i++) {
        CHECK(isolate.result(requests[i]) == TCP_ERR_WRITE_FAILED);
    }
    CHECK(isolate.result(requests[1]) != 0);
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
}

TEST_CASE("a write after close_write gives WRITE_FAILED, and nothing of it is sent")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.result(isolate.write(pair.handle, "before")) == 6);
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    CHECK(isolate.result(isolate.write(pair.handle, "after")) == TCP_ERR_WRITE_FAILED);
    CHECK(pair.peer.receive_all() == "before");
}

TEST_CASE("a write on a listener is refused with INVALID_HANDLE")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    CHECK(isolate.result(isolate.write(listening(isolate), "x")) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("bytes in both directions at once do not wait for each other")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string out = pattern(16 << 20, 1);
    const std::string in = pattern(16 << 20, 2);
    const Request write = isolate.write(pair.handle, out);
    auto sender = std::async(std::launch::async, [&] { pair.peer.send(in); });
    auto receiver = std::async(std::launch::async, [&] { return pair.peer.receive(out.size()); });
    const std::string read = isolate.read_exactly(pair.handle, in.size());
    CHECK((read == in));
    CHECK((receiver.get() == out));
    CHECK(isolate.result(write) == static_cast<int64_t>(out.size()));
}

TEST_CASE("writes of one byte to 300 KiB, mixed, arrive whole and in order in both directions")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Stream out(1);
    const Stream in(2);
    std::mt19937 random(3);
    std::vector<size_t> sizes;
    size_t total = 0;
    for (size_t i = 0; i < (is_sanitized ? 200 : 600); i++) {
        // As many tiny ones as large ones: the exponent is what is chosen.
        const size_t most = size_t{1} << random() % 19;
        sizes.push_back(std::min<size_t>(1 + random() % most + random() % most, 300 * 1024));
        total += sizes.back();
    }
    const auto sender = std::async(std::launch::async, [&] {
        size_t at = 0;
        for (size_t i = sizes.size(); i-- > 0; at += sizes[i]) {
            in.send(pair.peer, sizes[i], at);
        }
    });
    auto receiver = std::async(std::launch::async, [&] { return out.has(0, pair.peer.receive(total)); });
    size_t written = 0;
    size_t read = 0;
    std::vector<std::pair<Request, size_t>> writes;
    for (const size_t size : sizes) {
        writes.emplace_back(isolate.write(pair.handle, out.text(written, size)), size);
        written += size;
        while (read < written) {
            const Outcome outcome = isolate.outcome(isolate.read(pair.handle));
            REQUIRE(outcome.data);
            REQUIRE(in.has(read, outcome.data->bytes()));
            read += outcome.data->bytes().size();
        }
    }
    for (const auto &[request, size] : writes) {
        REQUIRE(isolate.result(request) == static_cast<int64_t>(size));
    }
    CHECK(read == total);
    CHECK(receiver.get());
}

TEST_CASE("writes to a peer that does not read hold up no other connection of the session")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair blocked = connected(isolate);
    const Pair other = connected(isolate);
    const Stream stream;
    constexpr size_t each = 64 * 1024;
    constexpr size_t total = 40 << 20; // more than the arena
    std::vector<Request> writes;
    for (size_t at = 0; at < total; at += each) {
        writes.push_back(isolate.write(blocked.handle, stream.text(at, each)));
        REQUIRE(writes.back().returned == 0);
    }
    CHECK(isolate.is_pending(writes.back()));
    for (const size_t size : {size_t{1}, size_t{5000}, size_t{100'000}, size_t{1} << 20}) {
        CAPTURE(size);
        const std::string message = stream.text(size, size);
        const Request write = isolate.write(other.handle, message);
        CHECK((other.peer.receive(size) == message));
        CHECK(isolate.result(write) == static_cast<int64_t>(size));
        const auto sender = std::async(std::launch::async, [&] { other.peer.send(message); });
        CHECK((isolate.read_exactly(other.handle, size) == message));
    }
    CHECK(isolate.is_pending(writes.back(), std::chrono::milliseconds(0)));
    CHECK(stream.has(0, blocked.peer.receive(total)));
    for (const Request &write : writes) {
        REQUIRE(isolate.result(write) == each);
    }
}
