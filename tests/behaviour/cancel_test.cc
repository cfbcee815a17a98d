// Requests that are given up, and requests whose time is over: each completes once, and no byte and no connection is
// lost that nobody has given up.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <functional>
#include <future>
#include <map>
#include <poll.h>
#include <random>

#include "oche/oche.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
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

struct Ended {
    int64_t result;
    int32_t os_error;
    std::string data;
};

bool is_cancelled(const Ended &end)
{
    return end.result == TCP_ERR_CLOSED && end.os_error == ECANCELED;
}

bool is_over(const Ended &end)
{
    return end.result == TCP_ERR_TIMED_OUT && end.os_error == ETIMEDOUT;
}

// A session, whose completions are kept by their ids. Each id is for one request.
class Session
{
  public:
    Session()
    {
        oche_session *opened = nullptr;
        REQUIRE(oche_session_open(nullptr, &opened) == 0);
        session_.reset(opened);
    }

    oche_session *get() const
    {
        return session_.get();
    }

    // Dispatches until the request has completed.
    Ended end(int64_t id)
    {
        const auto deadline = Clock::now() + much_patience;
        for (;;) {
            take();
            const auto found = ended_.find(id);
            if (found != ended_.end()) {
                Ended end = found->second;
                ended_.erase(found);
                return end;
            }
            if (Clock::now() > deadline) {
                throw std::runtime_error("no completion comes");
            }
            pollfd waited{oche_session_get_fd(get()), POLLIN, 0};
            poll(&waited, 1, 100);
        }
    }

    // Completions that have come and that no end() has taken.
    size_t untaken()
    {
        take();
        return ended_.size();
    }

    int64_t connect(const PeerListener &listener)
    {
        const int64_t id = --last_;
        auto options = sized<oche_connect_options>();
        options.address = listener.address().data();
        options.address_length = listener.address().size();
        options.port = listener.port();
        REQUIRE(oche_connect(get(), id, &options) == 0);
        return handle(id);
    }

    int64_t listen(bool durable = false)
    {
        const int64_t id = --last_;
        const Address address = loopback4();
        auto options = sized<oche_listen_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.durable = durable;
        REQUIRE(oche_listen(get(), id, &options) == 0);
        return handle(id);
    }

    Endpoint local(int64_t handle) const
    {
        auto local = sized<oche_endpoint>();
        REQUIRE(oche_get_local(get(), handle, &local) == 0);
        return {loopback4(), local.port};
    }

    int64_t write(int64_t id, int64_t handle, const std::string &bytes) const
    {
        return oche_write(get(), id, handle, bytes.data(), bytes.size());
    }

    void close(int64_t handle)
    {
        const int64_t id = --last_;
        REQUIRE(oche_close(get(), id, handle) == 0);
        CHECK(end(id).result == 0);
    }

  private:
    int64_t handle(int64_t id)
    {
        const int64_t made = end(id).result;
        REQUIRE(made > 0);
        return made;
    }

    void take()
    {
        oche_session_dispatch(get());
        auto completion = sized<oche_completion>();
        while (oche_session_pop(get(), &completion)) {
            Ended end{completion.result, completion.os_error, {}};
            if (completion.data) {
                end.data.assign(reinterpret_cast<char *>(completion.data), static_cast<size_t>(completion.result));
            }
            oche_data_free(completion.data_owner);
            REQUIRE(ended_.emplace(completion.request_id, end).second);
        }
    }

    std::unique_ptr<oche_session, SessionCloser> session_;
    std::map<int64_t, Ended> ended_;
    int64_t last_ = 0; // of the ids that are made up here, all negative
};

constexpr size_t more_than_the_kernel_takes = 16 << 20;

// A connection with a first write, of which the kernel takes some, and not all.
struct Congested {
    Congested() : handle(session.connect(listener)), peer(listener.accept())
    {
        REQUIRE(session.write(1, handle, first) == 0);
        REQUIRE(eventually([&] {
            oche_session_dispatch(session.get()); // on the plain lane it takes more than one to send all
            pollfd waited{peer.fd(), POLLIN, 0};
            return poll(&waited, 1, 0) == 1;
        }));
        REQUIRE(peer.receive(1) == "1");
    }

    Session session;
    const PeerListener listener;
    const int64_t handle;
    const Peer peer;
    const std::string first = std::string(more_than_the_kernel_takes, '1');
};
} // namespace

TEST_CASE("a write that is cancelled before its turn is not sent, and those before and after it are")
{
    const Daemon daemon;
    Congested congested;
    Session &session = congested.session;
    const std::string middle(600'000, 'c'); // in several frames
    REQUIRE(session.write(2, congested.handle, "before") == 0);
    REQUIRE(session.write(3, congested.handle, middle) == 0);
    REQUIRE(session.write(4, congested.handle, "after") == 0);
    REQUIRE(session.write(5, congested.handle, "last") == 0);
    for (const int64_t id : {5, 3}) {
        CAPTURE(id);
        CHECK(oche_cancel(session.get(), id) == 0);
        CHECK(is_cancelled(session.end(id)));
        CHECK(oche_cancel(session.get(), id) == TCP_ERR_INVALID_ARGUMENT);
    }
    REQUIRE(oche_close_write(session.get(), 6, congested.handle) == 0);
    const std::string bytes = congested.peer.receive_all();
    CHECK((bytes == congested.first.substr(1) + "before" + "after"));
    CHECK(session.end(1).result == static_cast<int64_t>(congested.first.size()));
    CHECK(session.end(2).result == 6);
    CHECK(session.end(4).result == 5);
    CHECK(session.end(6).result == 0);
    CHECK(session.untaken() == 0);
}

TEST_CASE("a write that is cancelled when a part is sent fails, all that follow fail alike, and the end is a reset")
{
    const Daemon daemon;
    Congested congested;
    Session &session = congested.session;
    REQUIRE(session.write(2, congested.handle, "x") == 0);
    REQUIRE(oche_close_write(session.get(), 3, congested.handle) == 0);
    REQUIRE(oche_cancel(session.get(), 1) == 0);
    REQUIRE(session.write(4, congested.handle, "y") == 0);
    for (const int64_t id : {1, 2, 3, 4}) {
        CAPTURE(id);
        const Ended end = session.end(id);
        CHECK(end.result == TCP_ERR_WRITE_FAILED);
        CHECK(end.os_error == ECANCELED);
    }
    congested.peer.send("still read");
    REQUIRE(oche_read(session.get(), 5, congested.handle) == 0);
    CHECK(session.end(5).data == "still read");
    session.close(congested.handle);
    const Rest rest = congested.peer.rest();
    CHECK(rest.end == End::reset);
    CHECK((rest.bytes == std::string(rest.bytes.size(), '1')));
}

TEST_CASE("what cancelled writes take of the limits is given back")
{
    const Daemon daemon;
    Congested congested;
    Session &session = congested.session;
    const auto used = [&] {
        auto statistics = sized<oche_statistics>();
        REQUIRE(oche_get_statistics(session.get(), 99, &statistics) == 0);
        REQUIRE(session.end(99).result == 0);
        return std::vector<uint64_t>{statistics.session_queued_bytes, statistics.user_queued_bytes.used,
                                     statistics.user_requests.used};
    };
    const auto first = used();
    for (int64_t id = 10; id < 20; id++) {
        REQUIRE(session.write(id, congested.handle, std::string(1 << 20, 'x')) == 0);
    }
    const auto before = used();
    for (int64_t id = 10; id < 20; id++) {
        REQUIRE(oche_cancel(session.get(), id) == 0);
        CHECK(is_cancelled(session.end(id)));
    }
    const auto after = used();
    CHECK(before[0] - after[0] == 10 * ((1 << 20) + 64));
    CHECK(before[1] - after[1] == 10 * ((1 << 20) + 64));
    CHECK(after[2] <= first[2]);           // frames, of which there are more where the arena is full
    for (int64_t id = 20; id < 40; id++) { // the arena is not used up either
        REQUIRE(session.write(id, congested.handle, std::string(1 << 20, 'x')) == 0);
        REQUIRE(oche_cancel(session.get(), id) == 0);
        CHECK(is_cancelled(session.end(id)));
    }
}

TEST_CASE("an end of the stream that is cancelled before its turn is taken back, and one that is sent is not")
{
    const Daemon daemon;
    Congested congested;
    Session &session = congested.session;
    REQUIRE(oche_close_write(session.get(), 2, congested.handle) == 0);
    REQUIRE(oche_cancel(session.get(), 2) == 0);
    CHECK(is_cancelled(session.end(2)));
    REQUIRE(session.write(3, congested.handle, "more") == 0);
    REQUIRE(oche_close_write(session.get(), 4, congested.handle) == 0);
    const std::string bytes = congested.peer.receive_all();
    CHECK(bytes.substr(bytes.size() - 4) == "more");
    const int64_t cancelled = oche_cancel(session.get(), 4); // its completion may have come, or not
    CHECK((cancelled == 0 || cancelled == TCP_ERR_INVALID_ARGUMENT));
    CHECK(session.end(3).result == 4);
    CHECK(session.end(4).result == 0);
}

TEST_CASE(
    "cancelling races with sending: the peer reads the writes that have succeeded, whole and in order, or a reset")
{
    const Daemon daemon;
    Session session;
    const PeerListener listener;
    std::mt19937 random(7);
    int64_t id = 0;
    size_t taken_back = 0, sent = 0, cut = 0;
    while (id < 4000) {
        const int64_t handle = session.connect(listener);
        const Peer peer = listener.accept();
        auto reader = std::async(std::launch::async, [&] { return peer.rest(much_patience); });
        std::string expected;
        bool failed = false;
        for (int burst = 0; burst < 10 && !failed; burst++) {
            std::map<int64_t, std::string> writes;
            for (int i = 0; i < 25; i++) {
                const std::string bytes(1 + random() % (random() % 8 == 0 ? 400'000 : 6000),
                                        static_cast<char>('a' + id % 26));
                writes[++id] = bytes;
                REQUIRE(session.write(id, handle, bytes) == 0);
                if (random() % 2 == 0) {
                    const int64_t victim = id - static_cast<int64_t>(random() % static_cast<unsigned>(i + 1));
                    oche_cancel(session.get(), victim);
                }
            }
            for (const auto &[number, bytes] : writes) {
                CAPTURE(number);
                const Ended end = session.end(number);
                if (end.result == static_cast<int64_t>(bytes.size())) {
                    CHECK_FALSE(failed);
                    expected += bytes;
                    sent++;
                } else if (end.result == TCP_ERR_WRITE_FAILED && end.os_error == ECANCELED) {
                    cut += !failed;
                    failed = true;
                } else {
                    REQUIRE(is_cancelled(end));
                    taken_back++;
                }
            }
        }
        session.close(handle);
        const Rest rest = reader.get();
        CHECK(rest.end == (failed ? End::reset : End::fin));
        if (failed) { // more than what has succeeded: the beginning of what was cut
            CHECK(rest.bytes.size() > expected.size());
            CHECK((rest.bytes.substr(0, expected.size()) == expected));
        } else {
            CHECK((rest.bytes == expected));
        }
    }
    INFO(taken_back << " taken back, " << sent << " sent, " << cut << " cut");
    CHECK(taken_back > 0);
    CHECK(sent > 0);
    CHECK(session.untaken() == 0);
}

TEST_CASE("writes that come to the daemon together with what cancels them are sent, or not, and never torn")
{
    const Daemon daemon;
    Session session;
    const PeerListener listener;
    std::mt19937 random(11);
    int64_t id = 0;
    for (int round = 0; round < 10; round++) {
        CAPTURE(round);
        const int64_t handle = session.connect(listener);
        const Peer peer = listener.accept();
        std::map<int64_t, std::string> writes;
        {
            const Stopped stopped(daemon.pid());
            // So small that all fit into the ring, and so many that the daemon sends some before it has taken all: then
            // it comes upon cancels of writes that the system has.
            for (int i = 0; i < 1000; i++) {
                const std::string bytes(1 + random() % 100, static_cast<char>('a' + id % 26));
                writes[++id] = bytes;
                REQUIRE(session.write(id, handle, bytes) == 0);
                oche_cancel(session.get(), id - static_cast<int64_t>(random() % 600));
            }
        }
        auto reader = std::async(std::launch::async, [&] { return peer.rest(much_patience); });
        std::string expected;
        bool failed = false;
        for (const auto &[number, bytes] : writes) {
            CAPTURE(number);
            const Ended end = session.end(number);
            failed = failed || end.result == TCP_ERR_WRITE_FAILED;
            if (end.result == static_cast<int64_t>(bytes.size())) {
                expected += bytes;
            } else {
                REQUIRE((is_cancelled(end) || (failed && end.os_error == ECANCELED)));
            }
        }
        session.close(handle);
        const Rest rest = reader.get();
        CHECK(rest.end == (failed ? End::reset : End::fin));
        CHECK((rest.bytes.substr(0, expected.size()) == expected));
        CHECK((failed || rest.bytes.size() == expected.size()));
    }
    CHECK(session.untaken() == 0);
}

TEST_CASE("cancelling races with accepting: each connection is accepted once, and each accept completes once")
{
    const Daemon daemon;
    Session session;
    const int64_t listener = session.listen();
    const Endpoint at = session.local(listener);
    size_t brought = 0;
    for (int64_t round = 1; round <= 2000; round++) {
        CAPTURE(round);
        REQUIRE(oche_accept(session.get(), round, listener) == 0);
        const Peer peer = Peer::connect(at);
        REQUIRE(oche_cancel(session.get(), round) == 0);
        int64_t handle = session.end(round).result;
        if (handle < 0) {
            CHECK(handle == TCP_ERR_CLOSED);
            REQUIRE(oche_accept(session.get(), -round - 1'000'000, listener) == 0);
            handle = session.end(-round - 1'000'000).result;
        } else {
            brought++;
        }
        REQUIRE(handle > 0);
        auto remote = sized<oche_endpoint>();
        REQUIRE(oche_get_remote(session.get(), handle, &remote) == 0);
        CHECK(remote.port == peer.local().port);
        session.close(handle);
    }
    INFO(brought << " had been accepted");
    CHECK(session.untaken() == 0);
}

TEST_CASE("cancelling races with reading: every byte is read once, and in order")
{
    const Daemon daemon;
    Session session;
    const PeerListener listener;
    const int64_t handle = session.connect(listener);
    const Peer peer = listener.accept();
    std::string sent, received;
    for (int64_t round = 1; round <= 3000; round++) {
        const std::string byte(1, static_cast<char>('a' + round % 26));
        REQUIRE(oche_read(session.get(), round, handle) == 0);
        peer.send(byte);
        sent += byte;
        if (round % 3 == 0) {
            oche_session_dispatch(session.get());
        }
        const int64_t cancelled = oche_cancel(session.get(), round);
        const Ended end = session.end(round);
        CHECK((end.result > 0 || (is_cancelled(end) && cancelled == 0)));
        received += end.data;
    }
    peer.shut_down_write();
    for (int64_t id = 10'000;; id++) {
        REQUIRE(oche_read(session.get(), id, handle) == 0);
        const Ended end = session.end(id);
        if (end.result < 0) {
            CHECK(end.result == TCP_ERR_CLOSED);
            break;
        }
        received += end.data;
    }
    CHECK(received == sent);
}

TEST_CASE("while the daemon is stopped every kind of request completes with TIMED_OUT when its limit is over")
{
    const Daemon daemon;
    Session session;
    const PeerListener target;
    const int64_t connection = session.connect(target);
    const int64_t other = session.connect(target);
    const Peer peer = target.accept();
    const Peer other_peer = target.accept();
    const int64_t listener = session.listen();
    const Endpoint at = session.local(listener);
    auto statistics = sized<oche_statistics>();
    const Address address = loopback4();
    auto connect = sized<oche_connect_options>();
    auto listen = sized<oche_listen_options>();
    connect.address = listen.address = address.data();
    connect.address_length = listen.address_length = address.size();
    connect.port = target.port();
    oche_session *const on = session.get();
    const std::vector<std::function<int64_t(int64_t)>> kinds{
        [&](int64_t id) { return oche_connect(on, id, &connect); },
        [&](int64_t id) { return oche_listen(on, id, &listen); },
        [&](int64_t id) { return oche_accept(on, id, listener); },
        [&](int64_t id) { return oche_read(on, id, connection); },
        [&](int64_t id) { return session.write(id, connection, "written"); },
        [&](int64_t id) { return oche_close_write(on, id, connection); },
        [&](int64_t id) { return oche_set_no_delay(on, id, connection, true); },
        [&](int64_t id) { return oche_get_statistics(on, id, &statistics); },
        [&](int64_t id) { return oche_close(on, id, other); },
    };
    REQUIRE(oche_accept(on, 50, listener) == 0); // the daemon has this one
    REQUIRE(oche_get_statistics(on, 99, &statistics) == 0);
    REQUIRE(session.end(99).result == 0);
    const oche_statistics before = statistics;
    std::optional<Peer> caller;
    {
        const Stopped stopped(daemon.pid());
        caller.emplace(Peer::connect(at));
        for (size_t i = 0; i < kinds.size(); i++) {
            REQUIRE(kinds[i](static_cast<int64_t>(i)) == 0);
            REQUIRE(oche_limit(on, static_cast<int64_t>(i), 20) == 0);
        }
        REQUIRE(oche_limit(on, 50, 20) == 0);
        for (size_t i = 0; i < kinds.size(); i++) {
            CAPTURE(i);
            CHECK(is_over(session.end(static_cast<int64_t>(i))));
        }
        CHECK(is_over(session.end(50)));
    }
    CHECK(other_peer.end() == End::fin); // closed all the same
    REQUIRE(oche_accept(on, 60, listener) == 0);
    const int64_t accepted = session.end(60).result; // nothing was accepted and lost
    REQUIRE(accepted > 0);
    caller->send("hello");
    REQUIRE(oche_read(on, 61, accepted) == 0);
    CHECK(session.end(61).data == "hello");
    CHECK(statistics.uptime_seconds == before.uptime_seconds); // not touched any more
    CHECK(eventually([&] {                                     // what was made too late is closed
        auto now = sized<oche_statistics>();
        REQUIRE(oche_get_statistics(on, 98, &now) == 0);
        REQUIRE(session.end(98).result == 0);
        return now.session_handles == 3 && now.user_requests.used == 0;
    }));
    CHECK(session.untaken() == 0);
}

TEST_CASE("accepts whose time is over lose no connection, however it falls")
{
    const Daemon daemon;
    Session session;
    const int64_t listener = session.listen();
    const Endpoint at = session.local(listener);
    int64_t id = 0;
    for (int round = 0; round < 500; round++) {
        CAPTURE(round);
        const Peer peer = Peer::connect(at);
        int64_t handle = 0;
        while (handle <= 0) {
            REQUIRE(oche_accept(session.get(), ++id, listener) == 0);
            REQUIRE(oche_limit(session.get(), id, 1) == 0);
            if (round % 2 == 0) { // so that it is over when the answer is taken
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            handle = session.end(id).result;
            REQUIRE((handle > 0 || handle == TCP_ERR_TIMED_OUT));
        }
        auto remote = sized<oche_endpoint>();
        REQUIRE(oche_get_remote(session.get(), handle, &remote) == 0);
        CHECK(remote.port == peer.local().port);
        session.close(handle);
    }
    CHECK(session.untaken() == 0);
}

TEST_CASE("when the daemon is lost nothing is left to cancel, but for accepts on durable listeners")
{
    Daemon daemon;
    Session session;
    const PeerListener target;
    const int64_t connection = session.connect(target);
    const int64_t listener = session.listen(true);
    REQUIRE(oche_read(session.get(), 1, connection) == 0);
    REQUIRE(oche_limit(session.get(), 1, 3'600'000) == 0);
    for (const int64_t id : {2, 3, 4}) {
        REQUIRE(oche_accept(session.get(), id, listener) == 0);
    }
    daemon.kill(SIGKILL);
    CHECK(daemon.wait() == 128 + SIGKILL);
    CHECK(session.end(1).result == TCP_ERR_DAEMON_LOST);
    CHECK(oche_cancel(session.get(), 1) == TCP_ERR_DAEMON_LOST);
    CHECK(oche_limit(session.get(), 1, 1) == TCP_ERR_DAEMON_LOST);
    REQUIRE(oche_cancel(session.get(), 2) == 0);
    CHECK(is_cancelled(session.end(2)));
    REQUIRE(oche_limit(session.get(), 3, 1) == 0);
    CHECK(is_over(session.end(3)));
    REQUIRE(oche_session_reopen(session.get()) == 0);
    const Peer peer = [&] {
        const Endpoint at = session.local(listener);
        REQUIRE(eventually([&] {
            oche_session_dispatch(session.get());
            return Attempt(at).established(moment);
        }));
        return Peer::connect(at);
    }();
    CHECK(session.end(4).result > 0);
    CHECK(session.untaken() == 0);
}

TEST_CASE("an accept that is cancelled while the daemon is stopped completes when it goes on, or is lost")
{
    Daemon daemon;
    Session session;
    const int64_t listener = session.listen();
    REQUIRE(oche_accept(session.get(), 1, listener) == 0);
    {
        const Stopped stopped(daemon.pid());
        REQUIRE(oche_cancel(session.get(), 1) == 0);
        CHECK(session.untaken() == 0);
    }
    CHECK(is_cancelled(session.end(1)));
    REQUIRE(oche_accept(session.get(), 2, listener) == 0);
    const Stopped stopped(daemon.pid());
    REQUIRE(oche_cancel(session.get(), 2) == 0);
    CHECK(session.end(2).result == TCP_ERR_CLOSED); // for the session is lost
    CHECK(oche_session_dispatch(session.get()) == TCP_ERR_DAEMON_LOST);
}

TEST_CASE("an isolate limits and cancels its requests of any kind, and no others")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    const auto limit = [](const Isolate &of, const Request &request, int64_t milliseconds) {
        return of.inside([&] { return oche_isolate_limit(request.id, milliseconds); });
    };
    CHECK(limit(isolate, {1, 0, false}, 1) == TCP_ERR_NOT_INITIALIZED);
    isolate.start();
    other.start();
    const int64_t listener = listening(isolate);
    const Pair pair = connected(isolate);
    const Request accept = isolate.accept(listener);
    const Request read = isolate.read(pair.handle);
    for (const int64_t wrong : {int64_t{-1}, int64_t{UINT32_MAX} + 1, INT64_MIN, INT64_MAX}) {
        CHECK(limit(isolate, accept, wrong) == TCP_ERR_INVALID_ARGUMENT);
    }
    CHECK(limit(other, accept, 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(limit(isolate, accept, 1) == 0);
    CHECK(isolate.result(accept) == TCP_ERR_TIMED_OUT);
    CHECK(limit(isolate, accept, 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(isolate.cancel(read) == 0);
    CHECK(isolate.result(read) == TCP_ERR_CLOSED);
    CHECK(echoes(isolate, pair));
    const Request again = isolate.accept(listener);
    CHECK(limit(isolate, again, UINT32_MAX) == 0);
    CHECK(isolate.cancel(again) == 0);
    CHECK(isolate.result(again) == TCP_ERR_CLOSED);
    CHECK(isolate.untaken() == 0);
}
