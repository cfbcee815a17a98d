// oche_isolate_guard and oche_isolate_release: a session that ends with its isolate, however that ends.
#include <catch2/catch.hpp>

#include <csignal>
#include <future>
#include <thread>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
constexpr auto at_once = std::chrono::milliseconds(0);

void *guard_of(const Isolate &isolate)
{
    return isolate.inside([] { return oche_isolate_guard(); });
}

// As a native finalizer: in any thread, outside of any isolate, where the VM must not be called but to post.
void release(void *guard)
{
    std::thread([guard] { oche_isolate_release(guard); }).join();
}

void check_works(Isolate &isolate, const Pair &pair)
{
    CHECK(isolate.result(isolate.write(pair.handle, "ping")) == 4);
    CHECK(pair.peer.receive(4) == "ping");
    pair.peer.send("pong");
    CHECK(isolate.read_exactly(pair.handle, 4) == "pong");
}

size_t sessions_ended(const Daemon &daemon)
{
    return daemon.count_lines("session=.*event=end");
}
} // namespace

TEST_CASE(
    "release ends the session: what is pending completes with CLOSED before it returns, and the daemon closes all")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    REQUIRE(isolate.enable(OCHE_FEATURE_QUIET_WRITES) == 0);
    void *guard = guard_of(isolate);
    REQUIRE(guard);
    const FullListener full;
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    const Pair reading = connected(isolate);
    const Pair writing = connected(isolate);
    const std::string much(32 << 20, 'x');
    const auto *bytes = reinterpret_cast<const uint8_t *>(much.data());
    const int64_t quiet = -7;
    const std::vector<Request> pending{
        isolate.accept(listener),
        isolate.read(reading.handle),
        isolate.write(writing.handle, much),
        isolate.made(quiet, tcp_write(quiet, writing.handle, bytes, 0, static_cast<int64_t>(much.size()))),
        isolate.connect({full.address(), full.port()}),
    };
    CHECK(isolate.is_pending(pending.back()));
    release(guard);
    for (size_t i = 0; i < pending.size(); i++) {
        CAPTURE(i);
        CHECK(isolate.outcome(pending[i], at_once).result == TCP_ERR_CLOSED);
    }
    CHECK(reading.peer.end() == End::fin);
    CHECK(writing.peer.end() != End::none);
    CHECK(eventually([&] { return !Attempt(local).established(); }));
    CHECK(daemon.logs("session=.*event=end"));
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("after release the isolate has no session, as after tcp_destroy, and may open another")
{
    const Daemon daemon;
    Isolate isolate;
    for (int round = 0; round < 10; round++) {
        isolate.start();
        const Pair pair = connected(isolate);
        check_works(isolate, pair);
        // By the isolate itself, as well as by another thread.
        void *guard = guard_of(isolate);
        if (round % 2) {
            oche_isolate_release(guard);
        } else {
            release(guard);
        }
        CHECK(isolate.result(isolate.connect({loopback4(), 80})) == TCP_ERR_NOT_INITIALIZED);
        CHECK(isolate.result(isolate.write(pair.handle, "x")) == TCP_ERR_NOT_INITIALIZED);
        CHECK(isolate.cancel({1, 0, false}) == TCP_ERR_NOT_INITIALIZED);
        CHECK(guard_of(isolate) == nullptr);
        CHECK(isolate.destroy() == TCP_ERR_NOT_INITIALIZED);
        CHECK(pair.peer.end() == End::fin);
    }
    CHECK(daemon.logs("event=end", 10));
}

TEST_CASE("there is no guard without a session, and releasing none is fine")
{
    const Daemon daemon;
    Isolate with;
    Isolate without;
    with.start();
    CHECK(guard_of(without) == nullptr);
    CHECK(oche_isolate_guard() == nullptr); // outside of any isolate
    oche_isolate_release(nullptr);
    CHECK(connected(with).handle > 0);
}

TEST_CASE("release after tcp_destroy does nothing, also when the isolate has a new session at another port")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    other.start();
    isolate.start();
    void *first = guard_of(isolate);
    void *second = guard_of(isolate);
    REQUIRE(first);
    REQUIRE(second);
    CHECK(isolate.destroy() == 0);
    release(first);
    isolate.replace_port();
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    release(second);
    CHECK(isolate.is_pending(read));
    pair.peer.send("unharmed");
    CHECK(isolate.outcome(read).text() == "unharmed");
    check_works(isolate, pair);
    CHECK(connected(other).handle > 0);
}

TEST_CASE("release after a second tcp_init with another port does nothing to the new session")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    void *guard = guard_of(isolate);
    const Pair before = connected(isolate);
    isolate.replace_port();
    isolate.start();
    CHECK(before.peer.end() != End::none);
    const Pair pair = connected(isolate);
    void *guard_of_the_new = guard_of(isolate);
    release(guard);
    check_works(isolate, pair);
    release(guard_of_the_new);
    CHECK(pair.peer.end() == End::fin);
    CHECK(isolate.destroy() == TCP_ERR_NOT_INITIALIZED);
}

TEST_CASE("release after tcp_destroy does nothing to a new session at the same port")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    void *guard = guard_of(isolate);
    CHECK(isolate.destroy() == 0);
    isolate.start();
    const Pair pair = connected(isolate);
    release(guard);
    check_works(isolate, pair);
}

TEST_CASE("release does not wait for an isolate that is in the middle of a call and asks the VM something")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate ending;
    isolate.start();
    ending.start();
    void *guard = guard_of(ending);
    const PeerListener listener;
    std::future<void> released;
    std::future_status status = std::future_status::deferred;
    vm::while_asked_for_port([&] {
        if (!released.valid()) {
            released = std::async(std::launch::async, [guard] { oche_isolate_release(guard); });
            status = released.wait_for(patience);
        }
    });
    const Request connect = isolate.connect({listener.address(), listener.port()});
    vm::while_asked_for_port({});
    CHECK(status == std::future_status::ready);
    CHECK(isolate.value(connect) > 0);
    CHECK(ending.destroy() == TCP_ERR_NOT_INITIALIZED);
}

TEST_CASE("of several guards of a session the first release ends it, and the others do nothing")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    other.start();
    isolate.start();
    const Pair pair = connected(isolate);
    const Pair stays = connected(other);
    std::vector<void *> guards;
    for (int i = 0; i < 4; i++) {
        guards.push_back(guard_of(isolate));
        REQUIRE(guards.back());
    }
    CHECK(isolate.init() == 0); // the same port: the session stays, and so do its guards
    check_works(isolate, pair);
    std::vector<std::thread> threads;
    threads.reserve(guards.size());
    for (void *guard : guards) {
        threads.emplace_back([guard] { oche_isolate_release(guard); });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(pair.peer.end() == End::fin);
    check_works(other, stays);
    CHECK(daemon.logs("event=end"));
    CHECK(sessions_ended(daemon) == 1);
}

TEST_CASE("release ends the session of an isolate that is dead, though nothing is ever posted to it")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    void *guard = guard_of(isolate);
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    const Pair reading = connected(isolate);
    const Pair idle = accepted(isolate, listener);
    const Request read = isolate.read(reading.handle);
    CHECK(isolate.is_pending(read));
    isolate.die();
    release(guard);
    CHECK(reading.peer.end() == End::fin);
    CHECK(idle.peer.end() == End::fin);
    CHECK(eventually([&] { return !Attempt(local).established(); }));
    CHECK(daemon.logs("session=.*event=end"));
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("release does nothing to a new isolate at the address of the dead one")
{
    const Daemon daemon;
    Isolate dead;
    dead.start();
    void *guard = guard_of(dead);
    const Pair before = connected(dead);
    dead.die();
    Isolate heir(dead.address());
    CHECK(guard_of(heir) == nullptr);
    heir.start();
    CHECK(before.peer.end() != End::none);
    const Pair pair = connected(heir);
    release(guard);
    check_works(heir, pair);
}

TEST_CASE("release of a dead isolate may race with a post that fails, and with what the isolate does last")
{
    const Daemon daemon;
    for (int round = 0; round < 40; round++) {
        Isolate isolate;
        isolate.start();
        void *guard = guard_of(isolate);
        const Pair pair = connected(isolate);
        REQUIRE(isolate.read(pair.handle).returned == 0);
        if (round % 2) {
            isolate.die();
        }
        std::thread finalizer([guard] { oche_isolate_release(guard); });
        pair.peer.send(pattern(10'000));
        for (int i = 0; i < round; i++) {
            isolate.write(pair.handle, "last words");
        }
        if (round % 4 == 0) {
            isolate.destroy();
        }
        finalizer.join();
        CHECK(pair.peer.end() != End::none);
    }
    CHECK(daemon.logs("event=end", 40));
    CHECK(sessions_ended(daemon) == 40);
    CHECK(ExternalBytes::alive() == 0);
}

TEST_CASE("release after a failed post has ended the session does nothing")
{
    const Daemon daemon;
    Isolate isolate;
    Isolate other;
    isolate.start();
    other.start();
    void *guard = guard_of(isolate);
    const Pair pair = connected(isolate);
    REQUIRE(isolate.read(pair.handle).returned == 0);
    isolate.die();
    pair.peer.send("anybody there?");
    CHECK(daemon.logs("session=.*event=end"));
    CHECK(pair.peer.end() != End::none);
    release(guard);
    CHECK(connected(other).handle > 0);
    CHECK(sessions_ended(daemon) == 1);
}

TEST_CASE("release while the daemon is stopped, or lost, does not wait for it")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    void *guard = guard_of(isolate);
    const Pair pair = connected(isolate);
    {
        const Stopped stopped(daemon.pid());
        const Request write = isolate.write(pair.handle, "x");
        release(guard);
        CHECK(isolate.outcome(write, at_once).result == TCP_ERR_CLOSED);
    }
    isolate.start();
    guard = guard_of(isolate);
    const Pair lost = connected(isolate);
    const Request read = isolate.read(lost.handle);
    daemon.kill(SIGKILL);
    CHECK(daemon.wait() == 128 + SIGKILL);
    CHECK(isolate.result(read) == TCP_ERR_DAEMON_LOST);
    release(guard);
    CHECK(isolate.destroy() == TCP_ERR_NOT_INITIALIZED);
}
