// Data ahead of the application's reads, buffers that it holds on to, and the choice of the lane. On both lanes.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <mutex>
#include <optional>
#include <poll.h>
#include <random>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/skip.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

constexpr size_t mib = 1 << 20;
constexpr size_t first_window = 16 * 1024;

// An endless stream that repeats a pattern whose length fits no block.
class Stream
{
  public:
    explicit Stream(uint64_t seed = 1) : bytes_(pattern(1'000'003, seed))
    {
    }

    // As much as there is from `at` on in one piece, up to `most`.
    std::string_view piece(size_t at, size_t most) const
    {
        return std::string_view(bytes_).substr(at % bytes_.size(), most);
    }

    std::string text(size_t at, size_t size) const
    {
        std::string text;
        while (text.size() < size) {
            text += piece(at + text.size(), size - text.size());
        }
        return text;
    }

    bool has(size_t at, std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const std::string_view same = piece(at, bytes.size());
            if (bytes.substr(0, same.size()) != same) {
                return false;
            }
            at += same.size();
            bytes.remove_prefix(same.size());
        }
        return true;
    }

    void send(const Peer &peer, size_t size, size_t from = 0) const
    {
        for (size_t at = from; at < from + size;) {
            const std::string_view next = piece(at, from + size - at);
            peer.send(next);
            at += next.size();
        }
    }

  private:
    std::string bytes_;
};

struct Held {
    size_t at;
    std::shared_ptr<ExternalBytes> data;
};

// Sets a variable of the environment for a while; null: removes it.
class Setting
{
  public:
    Setting(const char *name, const char *value) : name_(name)
    {
        const char *before = getenv(name);
        before_ = before ? std::optional<std::string>(before) : std::nullopt;
        set(value);
    }
    ~Setting()
    {
        set(before_ ? before_->c_str() : nullptr);
    }
    Setting(const Setting &) = delete;
    Setting &operator=(const Setting &) = delete;

  private:
    void set(const char *value) const
    {
        if (value) {
            setenv(name_, value, 1);
        } else {
            unsetenv(name_);
        }
    }

    const char *name_;
    std::optional<std::string> before_;
};

// Asks the daemon for its counters, in a session of its own.
class Counters
{
  public:
    Counters()
    {
        if (oche_session_open(nullptr, &session_) < 0) {
            throw std::runtime_error(oche_last_error());
        }
    }
    ~Counters()
    {
        oche_session_close(session_);
    }
    Counters(const Counters &) = delete;
    Counters &operator=(const Counters &) = delete;

    // Bytes that it has taken from connections.
    uint64_t received() const
    {
        oche_statistics statistics{};
        statistics.size = sizeof statistics;
        if (oche_get_statistics(session_, 1, &statistics) < 0) {
            throw std::runtime_error("the daemon cannot be asked for its counters");
        }
        oche_completion completion{};
        while (!oche_session_pop(session_, &completion)) {
            pollfd readable{oche_session_get_fd(session_), POLLIN, 0};
            if (poll(&readable, 1, static_cast<int>(patience.count())) <= 0 || oche_session_dispatch(session_) < 0) {
                throw std::runtime_error("the daemon does not tell its counters");
            }
        }
        return statistics.bytes_received;
    }

    bool reach(uint64_t count) const
    {
        return eventually([&] { return received() >= count; });
    }

  private:
    oche_session *session_ = nullptr;
};

// Has some bytes read, so that there is a window, and then as many as `ahead` come ahead of the next read.
void bring_ahead(Isolate &isolate, const Pair &pair, const Counters &counters, std::string_view ahead)
{
    const uint64_t before = counters.received();
    pair.peer.send("first");
    REQUIRE(isolate.read_exactly(pair.handle, 5) == "first");
    pair.peer.send(ahead);
    REQUIRE(counters.reach(before + 5 + ahead.size()));
    // What the daemon has received it has passed on in the same turn; the library takes it in the next moment.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

int64_t init_with_lane(Isolate &isolate, const char *lane)
{
    const Setting setting("OCHE_LANE", lane);
    return isolate.init();
}

// Both sides of `count` connections are descriptors, one here and one in the daemon.
bool allows_connections(size_t count)
{
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
    return limit.rlim_max >= count + 200;
}
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

TEST_CASE("a slow reader holds its window at most, and the peer waits")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    const size_t there = resident_bytes_of(daemon.pid());
    const size_t here = resident_bytes_of(getpid());
    const Request request = isolate.read(pair.handle);
    const size_t sent = pair.peer.send_until_full(64 * mib);
    CHECK(sent < 64 * mib);
    const Outcome outcome = isolate.outcome(request);
    REQUIRE(outcome.data);
    std::this_thread::sleep_for(moment);
    CHECK(counters.received() <= outcome.data->bytes().size() + 2 * first_window);
    CHECK(resident_bytes_of(daemon.pid()) < there + (is_sanitized ? 64 : 4) * mib);
    CHECK(resident_bytes_of(getpid()) < here + (is_sanitized ? 64 : 4) * mib);
    const size_t rest = sent - outcome.data->bytes().size();
    CHECK((isolate.read_exactly(pair.handle, rest) == std::string(rest, 'x')));
}

TEST_CASE("without a read nothing is taken from a connection")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    pair.peer.send(pattern(10'000));
    std::this_thread::sleep_for(moment);
    CHECK(counters.received() == 0);
    CHECK((isolate.read_exactly(pair.handle, 10'000) == pattern(10'000)));
}

// With select there can be fewer; a sanitizer makes each expensive.
TEST_CASE("memory stays bounded with 10,000 connections whose application does not read while their peers send")
{
    const size_t count = method_under_test() == "select" ? 400 : is_sanitized ? 2000 : 10'000;
    if (!allows_connections(count)) {
        SKIP("the limit on descriptors is too low here");
    }
    DaemonOptions options;
    options.log_level = "info";
    const Daemon daemon(options);
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const int64_t listener = listening(isolate);
    std::vector<Pair> pairs;
    while (pairs.size() < count) {
        pairs.push_back(accepted(isolate, listener));
    }
    const std::string sent = pattern(64 * 1024);
    const size_t there = resident_bytes_of(daemon.pid());
    const size_t here = resident_bytes_of(getpid());
    for (const Pair &pair : pairs) {
        REQUIRE(send(pair.peer.fd(), sent.data(), sent.size(), MSG_DONTWAIT) == static_cast<ssize_t>(sent.size()));
    }
    std::this_thread::sleep_for(moment);
    CHECK(counters.received() == 0);
    if (!is_sanitized) {
        CHECK(resident_bytes_of(daemon.pid()) < there + 2 * mib);
        CHECK(resident_bytes_of(getpid()) < here + 2 * mib);
    }

    // And when it reads once from each, what comes ahead is bounded by their windows.
    for (const Pair &pair : pairs) {
        REQUIRE(isolate.value(isolate.read(pair.handle)) > 0);
    }
    std::this_thread::sleep_for(moment);
    CHECK(counters.received() <= count * 3 * first_window);
    if (!is_sanitized) {
        CHECK(resident_bytes_of(daemon.pid()) < there + 32 * mib);
        CHECK(resident_bytes_of(getpid()) < here + count * 3 * first_window + 32 * mib);
    }
    for (size_t i = 0; i < count; i += 97) {
        // The rest of what was sent, however much the first read got.
        pairs[i].peer.shut_down_write();
        int64_t end = 0;
        const std::string rest = isolate.read_all(pairs[i].handle, &end);
        CHECK(end == TCP_ERR_CLOSED);
        CHECK((!rest.empty() && rest == sent.substr(sent.size() - rest.size())));
    }
    for (Pair &pair : pairs) {
        pair.peer.reset(); // leaves no TIME_WAIT behind
    }
}

TEST_CASE("a read that finds bytes that came ahead is answered without the daemon")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "second");
    const uint64_t before = counters.received();
    pair.peer.send("third");
    REQUIRE(counters.reach(before + 5));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    {
        const Stopped stopped(daemon.pid());
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "second");
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "third");
    }
    const Request next = isolate.read(pair.handle);
    pair.peer.send("fourth");
    CHECK(isolate.outcome(next).text() == "fourth");
}

TEST_CASE("the end of a stream that came ahead is answered without the daemon, behind the data")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "last words");
    pair.peer.shut_down_write();
    std::this_thread::sleep_for(moment);
    {
        const Stopped stopped(daemon.pid());
        CHECK(isolate.outcome(isolate.read(pair.handle)).text() == "last words");
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_CLOSED);
    }
    // The other direction is still open.
    CHECK(isolate.result(isolate.write(pair.handle, "answer")) == 6);
    CHECK(pair.peer.receive(6) == "answer");
}

TEST_CASE("our own end of the stream leaves what came ahead and what is still to come")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const Pair pair = connected(isolate);
    bring_ahead(isolate, pair, counters, "ahead");
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    CHECK(pair.peer.end() == End::fin);
    pair.peer.send(" and behind");
    pair.peer.shut_down_write();
    int64_t end = 0;
    CHECK(isolate.read_all(pair.handle, &end) == "ahead and behind");
    CHECK(end == TCP_ERR_CLOSED);
}

TEST_CASE("close drops what came ahead, gives its room back, and the peer sees the end")
{
    const Daemon daemon({{"--max-arena-bytes", "262144"}, 0, "debug"});
    Isolate isolate;
    isolate.start();
    const Counters counters;
    const std::string ahead = pattern(first_window - 1000);
    // More than the arena has.
    for (int i = 0; i < 40; i++) {
        const Pair pair = connected(isolate);
        const uint64_t before = counters.received();
        const Request request = isolate.read(pair.handle);
        pair.peer.send("first");
        REQUIRE(isolate.outcome(request).text() == "first");
        pair.peer.send(ahead);
        REQUIRE(counters.reach(before + 5 + ahead.size()));
        CHECK(isolate.result(isolate.close(pair.handle)) == 0);
        CHECK(pair.peer.end() != End::none);
        CHECK(isolate.result(isolate.read(pair.handle)) == TCP_ERR_INVALID_HANDLE);
    }
    const Pair pair = connected(isolate);
    const Stream stream;
    const auto sender = std::async(std::launch::async, [&] { stream.send(pair.peer, 4 * mib); });
    CHECK(stream.has(0, isolate.read_exactly(pair.handle, 4 * mib)));
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
    constexpr size_t total = 40 * mib; // more than the arena
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

TEST_CASE("the log says which lane a session is on")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    CHECK(daemon.logs("event=open .*lane=" + lane_under_test()));
    CHECK(daemon.count_lines("event=open .*lane=") == 1);
}

TEST_CASE("the lane is memory if nothing is said, and what OCHE_LANE says otherwise")
{
    const Daemon daemon;
    Isolate unsaid;
    Isolate empty;
    Isolate plain;
    Isolate memory;
    CHECK(init_with_lane(unsaid, nullptr) == 0);
    CHECK(daemon.logs("event=open .*lane=memory", 1));
    CHECK(init_with_lane(empty, "") == 0);
    CHECK(daemon.logs("event=open .*lane=memory", 2));
    CHECK(init_with_lane(plain, "plain") == 0);
    CHECK(daemon.logs("event=open .*lane=plain", 1));
    CHECK(init_with_lane(memory, "memory") == 0);
    CHECK(daemon.logs("event=open .*lane=memory", 3));
    CHECK(daemon.count_lines("event=open") == 4);
}

TEST_CASE("without shared memory the plain lane is taken, and works")
{
    const Daemon daemon({{"--max-arena-bytes", "0"}, 0, "debug"});
    Isolate isolate;
    REQUIRE(init_with_lane(isolate, nullptr) == 0);
    CHECK(daemon.logs("event=open .*lane=plain"));
    const Pair pair = connected(isolate);
    const std::string sent = pattern(100'000);
    const Request write = isolate.write(pair.handle, sent);
    CHECK((pair.peer.receive(sent.size()) == sent));
    CHECK(isolate.result(write) == static_cast<int64_t>(sent.size()));
    pair.peer.send(sent);
    CHECK((isolate.read_exactly(pair.handle, sent.size()) == sent));
}

TEST_CASE("without shared memory a session that insists on it is refused, and told why")
{
    const Daemon daemon({{"--max-arena-bytes", "0"}, 0, "debug"});
    Isolate isolate;
    CHECK(init_with_lane(isolate, "memory") == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(std::string(oche_last_error()).find("memory") != std::string::npos);
    oche_session_options options{};
    options.lane = OCHE_LANE_MEMORY;
    oche_session *session = nullptr;
    CHECK(oche_session_open(&options, &session) == TCP_ERR_DAEMON_UNAVAILABLE);
    CHECK(session == nullptr);
}

TEST_CASE("a lane that does not exist is refused with INVALID_ARGUMENT, and told why")
{
    const Daemon daemon;
    Isolate isolate;
    for (const char *lane : {"fast", "Memory", "plain "}) {
        CHECK(init_with_lane(isolate, lane) == TCP_ERR_INVALID_ARGUMENT);
        CHECK(std::string(oche_last_error()).find("OCHE_LANE") != std::string::npos);
    }
    oche_session_options options{};
    options.lane = static_cast<oche_lane>(3);
    oche_session *session = nullptr;
    CHECK(oche_session_open(&options, &session) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(daemon.count_lines("event=open") == 0);
    CHECK(init_with_lane(isolate, "plain") == 0);
}

TEST_CASE("the lane of the options goes before that of the environment")
{
    const Daemon daemon;
    oche_session_options options{};
    oche_session *session = nullptr;
    for (const auto &[lane, name] : {std::pair(OCHE_LANE_PLAIN, "plain"), std::pair(OCHE_LANE_MEMORY, "memory")}) {
        options.lane = lane;
        REQUIRE(oche_session_open(&options, &session) == 0);
        CHECK(daemon.logs(std::string("event=open .*lane=") + name));
        oche_session_close(session);
    }
}
