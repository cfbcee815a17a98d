// What has come behind the data of a read, taken together: oche_isolate_ahead() and oche_isolate_take(). On both lanes.
#include <catch2/catch.hpp>

#include <string>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
constexpr size_t mib = 1 << 20;

int64_t ahead(int64_t handle, int64_t count = INT64_MAX)
{
    return as_leaf([&] { return oche_isolate_ahead(handle, count); });
}

int64_t take(int64_t handle, std::string &into, size_t offset, size_t count)
{
    return as_leaf([&] {
        return oche_isolate_take(handle, reinterpret_cast<uint8_t *>(into.data()), static_cast<int64_t>(offset),
                                 static_cast<int64_t>(count));
    });
}

// All that is ahead.
std::string take_all(int64_t handle)
{
    const int64_t count = ahead(handle);
    REQUIRE(count >= 0);
    std::string bytes(static_cast<size_t>(count), '?');
    REQUIRE(take(handle, bytes, 0, bytes.size()) == count);
    return bytes;
}

bool comes(int64_t handle, int64_t count)
{
    return eventually([&] { return ahead(handle) >= count; });
}
} // namespace

TEST_CASE("what has come since a read completed is taken with it, in order and once")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(ahead(pair.handle) == 0);
    const Request read = isolate.read(pair.handle);
    pair.peer.send("first");
    REQUIRE(isolate.outcome(read).data->bytes() == "first");
    pair.peer.send("second");
    REQUIRE(comes(pair.handle, 6));
    pair.peer.send("third");
    REQUIRE(comes(pair.handle, 11));

    for (const auto &[room, fitting] : {std::pair{0, 0}, {5, 0}, {6, 6}, {10, 6}, {11, 11}, {12, 11}}) {
        CAPTURE(room);
        CHECK(ahead(pair.handle, room) == fitting);
    }
    std::string bytes = "+..........................";
    CHECK(take(pair.handle, bytes, 1, 5) == 0); // no whole piece
    CHECK(take(pair.handle, bytes, 1, 10) == 6);
    CHECK(bytes.substr(0, 8) == "+second.");
    CHECK(ahead(pair.handle) == 5);
    CHECK(take(pair.handle, bytes, 7, 20) == 5);
    CHECK(bytes.substr(0, 13) == "+secondthird.");
    CHECK(ahead(pair.handle) == 0);
    CHECK(take(pair.handle, bytes, 0, 20) == 0);

    const Request next = isolate.read(pair.handle);
    CHECK(ahead(pair.handle) == 0);
    pair.peer.send("fourth");
    CHECK(isolate.outcome(next).data->bytes() == "fourth");
}

TEST_CASE("the end of the stream stays for the next read")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    pair.peer.send("first");
    REQUIRE(isolate.outcome(read).data->bytes() == "first");
    pair.peer.send("last");
    REQUIRE(comes(pair.handle, 4));
    pair.peer.shut_down_write();
    CHECK(take_all(pair.handle) == "last");
    CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    CHECK(ahead(pair.handle) == 0);
}

TEST_CASE("taking lets the peer send more: a stream goes on without another read")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(8 * mib);
    const Request read = isolate.read(pair.handle);
    std::thread sender([&] { pair.peer.send(sent); });
    std::string got(isolate.outcome(read).data->bytes());
    const bool all = eventually([&] {
        got += take_all(pair.handle);
        return got.size() >= sent.size();
    });
    sender.join();
    CHECK(all);
    CHECK(got == sent);
}

TEST_CASE("nothing is ahead of what is not an open connection, and nothing is taken to nowhere")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair pair = accepted(isolate, listener);
    std::string bytes(10, '?');
    CHECK(ahead(listener) == TCP_ERR_INVALID_HANDLE);
    CHECK(take(listener, bytes, 0, 10) == TCP_ERR_INVALID_HANDLE);
    CHECK(as_leaf([&] { return oche_isolate_take(pair.handle, nullptr, 0, 1); }) == TCP_ERR_INVALID_ARGUMENT);
    uint8_t byte = 0;
    CHECK(as_leaf([&] { return oche_isolate_take(pair.handle, &byte, -1, 1); }) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(as_leaf([&] { return oche_isolate_take(pair.handle, &byte, 0, -1); }) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(take(pair.handle, bytes, 0, 10) == 0);
    CHECK(ahead(pair.handle, -1) == TCP_ERR_INVALID_ARGUMENT);
    REQUIRE(isolate.result(isolate.close(pair.handle)) == 0);
    CHECK(ahead(pair.handle) == TCP_ERR_INVALID_HANDLE);
    CHECK(take(pair.handle, bytes, 0, 10) == TCP_ERR_INVALID_HANDLE);
    CHECK(ahead(0) == TCP_ERR_INVALID_HANDLE);
}
