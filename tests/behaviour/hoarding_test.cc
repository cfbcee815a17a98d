// Buffers that the application holds on to. On both lanes.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <random>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sanitized.h"
#include "tests/support/stream.h"

using namespace test_support;

namespace
{
constexpr size_t mib = 1 << 20;

struct Held {
    size_t at;
    std::shared_ptr<ExternalBytes> data;
};
} // namespace

// A quarter under a sanitizer, which keeps what was freed.
TEST_CASE("an application that holds on to a gibibyte of received buffers loses nothing, and nothing stalls")
{
    const size_t total = is_sanitized ? 256 * mib : 1024 * mib;
    const Daemon daemon;
    const Stream stream;
    std::vector<Held> held;
    {
        Isolate isolate;
        isolate.start();
        const Pair pair = connected(isolate);
        const Pair other = connected(isolate);
        const size_t before = resident_bytes_of(daemon.pid());
        const auto sender = std::async(std::launch::async, [&] { stream.send(pair.peer, total); });
        size_t size = 0;
        while (size < total) {
            const Outcome outcome = isolate.outcome(isolate.read(pair.handle));
            REQUIRE(outcome.data);
            held.push_back({size, outcome.data});
            size += outcome.data->bytes().size();
            if (held.size() % 4096 == 0) {
                other.peer.send("ping");
                REQUIRE(isolate.read_exactly(other.handle, 4) == "ping");
                REQUIRE(isolate.result(isolate.write(other.handle, "pong")) == 4);
                REQUIRE(other.peer.receive(4) == "pong");
            }
        }
        CHECK(size == total);
        if (!is_sanitized) {
            CHECK(resident_bytes_of(daemon.pid()) < before + 48 * mib);
        }
        CHECK(isolate.destroy() == 0);
    }
    size_t wrong = 0;
    for (const Held &piece : held) {
        wrong += !stream.has(piece.at, piece.data->bytes());
    }
    CHECK(wrong == 0);
}

TEST_CASE("a session that got all its buffers back goes on as if it had never been without")
{
    const Daemon daemon({{"--max-arena-bytes", "1048576"}, 0, "debug"});
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Stream stream;
    size_t at = 0;
    for (int round = 0; round < 5; round++) {
        std::vector<Held> held;
        const size_t end = at + 8 * mib;
        const auto sender =
            std::async(std::launch::async, [&, from = at] { stream.send(pair.peer, end - from, from); });
        while (at < end) {
            const Outcome outcome = isolate.outcome(isolate.read(pair.handle));
            REQUIRE(outcome.data);
            held.push_back({at, outcome.data});
            at += outcome.data->bytes().size();
        }
        // In an order that has nothing to do with theirs.
        std::shuffle(held.begin(), held.end(), std::mt19937(static_cast<unsigned>(round)));
        while (!held.empty()) {
            REQUIRE(stream.has(held.back().at, held.back().data->bytes()));
            held.pop_back();
        }
    }
}

TEST_CASE("buffers are given back from several threads while others come, and the last after tcp_destroy")
{
    const Daemon daemon;
    const Stream stream;
    constexpr size_t total = 64 * mib;
    constexpr size_t threads = 3;
    std::mutex mutex;
    std::vector<Held> given;
    std::vector<Held> last;
    std::atomic<bool> done{false};
    std::atomic<size_t> wrong{0};
    const auto free_some = [&] {
        while (true) {
            std::optional<Held> one;
            const bool was_done = done;
            {
                const std::lock_guard<std::mutex> lock(mutex);
                if (!given.empty()) {
                    one = std::move(given.back());
                    given.pop_back();
                }
            }
            if (one) {
                wrong += !stream.has(one->at, one->data->bytes());
            } else if (was_done) {
                return;
            } else {
                std::this_thread::yield();
            }
        }
    };
    std::vector<std::future<void>> freeing;
    for (size_t i = 0; i < threads; i++) {
        freeing.push_back(std::async(std::launch::async, free_some));
    }
    {
        Isolate isolate;
        isolate.start();
        const Pair pair = connected(isolate);
        const auto sender = std::async(std::launch::async, [&] { stream.send(pair.peer, total); });
        for (size_t at = 0, count = 0; at < total; count++) {
            Outcome outcome = isolate.outcome(isolate.read(pair.handle));
            if (!outcome.data) {
                break;
            }
            const size_t size = outcome.data->bytes().size();
            const std::lock_guard<std::mutex> lock(mutex);
            (count % 50 ? given : last).push_back({at, std::move(outcome.data)});
            at += size;
        }
        CHECK(isolate.destroy() == 0);
    }
    done = true;
    freeing.clear();
    for (const Held &piece : last) {
        wrong += !stream.has(piece.at, piece.data->bytes());
    }
    std::async(std::launch::async, [&] { last.clear(); }).get();
    CHECK(wrong == 0);
    CHECK(ExternalBytes::alive() == 0);
}
