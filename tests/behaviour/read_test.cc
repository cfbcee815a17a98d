// tcp_read: what arrives, how streams end, and who owns the bytes.
#include <catch2/catch.hpp>

#include <cerrno>
#include <future>
#include <malloc.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
// Bytes that this process has allocated and not freed. A sanitizer's allocator does not tell.
size_t allocated()
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

bool allocations_are_counted()
{
    const size_t before = allocated();
    const std::string block(1 << 20, 'x');
    return allocated() >= before + block.size();
}
} // namespace

TEST_CASE("a read gets the bytes that came before it")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    pair.peer.send("early");
    CHECK(isolate.read_exactly(pair.handle, 5) == "early");
}

TEST_CASE("a read waits for bytes that come later")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request request = isolate.read(pair.handle);
    CHECK(isolate.is_pending(request));
    pair.peer.send("late");
    const Outcome outcome = isolate.outcome(request);
    CHECK(outcome.result == 4);
    CHECK(outcome.text() == "late");
}

TEST_CASE("a second read on the same connection is refused with INVALID_ARGUMENT")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request first = isolate.read(pair.handle);
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_INVALID_ARGUMENT);
    pair.peer.send("x");
    CHECK(isolate.outcome(first).text() == "x");
    const Request next = isolate.read(pair.handle);
    pair.peer.send("y");
    CHECK(isolate.outcome(next).text() == "y");
}

TEST_CASE("data arrives as external typed data, and its finalizer gives the memory back")
{
    if (!allocations_are_counted()) {
        SKIP("the allocator of this build does not count");
    }
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(8 << 20);
    const auto sender = std::async(std::launch::async, [&] { pair.peer.send(sent); });
    const size_t before = allocated();
    std::vector<std::shared_ptr<ExternalBytes>> held;
    size_t size = 0;
    while (size < sent.size()) {
        const Outcome outcome = isolate.outcome(isolate.read(pair.handle));
        REQUIRE(outcome.data);
        held.push_back(outcome.data);
        size += outcome.data->bytes().size();
    }
    CHECK(ExternalBytes::alive() == held.size());
    if (lane_under_test() == "plain") {
        CHECK(allocated() >= before + size);
    }
    held.clear();
    CHECK(ExternalBytes::alive() == 0);
    CHECK(allocated() < before + (1 << 20));
}

TEST_CASE("bytes that Dart holds on to stay as they are, even after tcp_destroy")
{
    const Daemon daemon;
    const std::string sent = pattern(100'000);
    std::vector<std::shared_ptr<ExternalBytes>> held;
    size_t size = 0;
    {
        Isolate isolate;
        isolate.start();
        const Pair pair = connected(isolate);
        pair.peer.send(sent);
        while (size < sent.size()) {
            held.push_back(isolate.outcome(isolate.read(pair.handle)).data);
            size += held.back()->bytes().size();
        }
        pair.peer.send(pattern(100'000, 2));
        isolate.read_exactly(pair.handle, 100'000);
        CHECK(isolate.destroy() == 0);
    }
    std::string received;
    for (const auto &data : held) {
        received += data->bytes();
    }
    CHECK(received == sent);
}

TEST_CASE("a long stream arrives whole and in order")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(32 << 20);
    const auto sender = std::async(std::launch::async, [&] {
        pair.peer.send(sent);
        pair.peer.shut_down_write();
    });
    int64_t end = 0;
    const std::string received = isolate.read_all(pair.handle, &end);
    CHECK(received.size() == sent.size());
    CHECK((received == sent));
    CHECK(end == TCP_ERR_CLOSED);
}

TEST_CASE("the end of the stream gives CLOSED, after all data, and again for each later read")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    pair.peer.send("last words");
    pair.peer.shut_down_write();
    int64_t end = 0;
    CHECK(isolate.read_all(pair.handle, &end) == "last words");
    CHECK(end == TCP_ERR_CLOSED);
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    // The other direction is still open.
    CHECK(isolate.result(isolate.write(pair.handle, "answer")) == 6);
    CHECK(pair.peer.receive(6) == "answer");
}

TEST_CASE("the end of the stream completes a read that waits")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request request = isolate.read(pair.handle);
    CHECK(isolate.is_pending(request));
    pair.peer.shut_down_write();
    CHECK(isolate.result(request) == TCP_ERR_CLOSED);
}

TEST_CASE("a reset gives READ_FAILED and ECONNRESET, so that a cut-off transfer does not look complete")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_ERROR_DETAIL) == 0);

    Pair waiting = connected(isolate);
    const Request request = isolate.read(waiting.handle);
    CHECK(isolate.is_pending(request));
    waiting.peer.reset();
    const Outcome outcome = isolate.outcome(request);
    CHECK(outcome.result == TCP_ERR_READ_FAILED);
    CHECK(outcome.os_error == ECONNRESET);

    Pair later = connected(isolate);
    later.peer.reset();
    CHECK(isolate.result(isolate.read(later.handle)) == TCP_ERR_READ_FAILED);
}

TEST_CASE("after a reset the handle is still open, and close completes with 0")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    Pair pair = connected(isolate);
    pair.peer.reset();
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_READ_FAILED);
    CHECK(isolate.result(isolate.read(pair.handle)) < 0);
    CHECK(isolate.result(isolate.close(pair.handle)) == 0);
}

TEST_CASE("reads on several connections wait independently")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    std::vector<Pair> pairs;
    std::vector<Request> requests;
    for (int i = 0; i < 20; i++) {
        pairs.push_back(connected(isolate));
        requests.push_back(isolate.read(pairs.back().handle));
    }
    for (size_t i = pairs.size(); i-- > 0;) {
        pairs[i].peer.send(std::to_string(i));
        CHECK(isolate.outcome(requests[i]).text() == std::to_string(i));
    }
}

TEST_CASE("a read on a listener is refused with INVALID_HANDLE")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    CHECK(isolate.result(isolate.read(listening(isolate))) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("bytes that nobody reads make the peer wait, and cost the daemon no memory without bound")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const size_t before = resident_bytes_of(daemon.pid());
    constexpr size_t much = 64 << 20;
    const size_t sent = pair.peer.send_until_full(much);
    CHECK(sent < much);
    CHECK(resident_bytes_of(daemon.pid()) < before + (4 << 20));
    // And nothing is lost.
    CHECK(isolate.read_exactly(pair.handle, sent) == std::string(sent, 'x'));
}

TEST_CASE("four hundred reads that wait hold no buffers, neither in the daemon nor here")
{
    if (!allocations_are_counted()) {
        SKIP("the allocator of this build does not count");
    }
    constexpr size_t count = 400;
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    std::vector<Pair> pairs;
    pairs.reserve(count);
    for (size_t i = 0; i < count; i++) {
        pairs.push_back(connected(isolate));
    }
    const size_t here = allocated();
    const size_t there = resident_bytes_of(daemon.pid());
    for (const Pair &pair : pairs) {
        REQUIRE(isolate.read(pair.handle).returned == 0);
    }
    // A request that is answered says that those before it have arrived.
    const Pair last = connected(isolate);
    CHECK(isolate.result(isolate.write(last.handle, "x")) == 1);
    CHECK(allocated() < here + count * 1024);
    CHECK(resident_bytes_of(daemon.pid()) < there + count * 1024);
}

TEST_CASE("many small messages read one by one come in order")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    for (int i = 0; i < 500; i++) {
        const std::string message = "message " + std::to_string(i) + ";";
        const Request request = isolate.read(pair.handle);
        pair.peer.send(message);
        const Outcome outcome = isolate.outcome(request);
        REQUIRE(outcome.text() == message);
    }
}
