// tcp_init and tcp_destroy, and isolates that die without it.
#include <catch2/catch.hpp>

#include <climits>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
void check_not_initialized(Isolate &isolate)
{
    CHECK(isolate.result(isolate.connect({loopback4(), 80})) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.destroy() == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.enable(0) == TCP_ERR_NOT_INITIALIZED);
}

// The calls that find their session through a handle, where there is no session at all.
void check_handle_calls_not_initialized(Isolate &isolate, int64_t handle)
{
    uint8_t address[16];
    CHECK(isolate.result(isolate.read(handle)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.write(handle, "x")) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.accept(handle)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.close_write(handle)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.close(handle)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.result(isolate.listener_close(handle, false)) == TCP_ERR_NOT_INITIALIZED);
    CHECK(tcp_get_local_address(handle, address) == TCP_ERR_NOT_INITIALIZED);
    CHECK(tcp_get_remote_port(handle) == TCP_ERR_NOT_INITIALIZED);
    CHECK(tcp_get_no_delay(handle) == TCP_ERR_NOT_INITIALIZED);
    CHECK(isolate.inside([&] { return tcp_set_no_delay(handle, true); }) == TCP_ERR_NOT_INITIALIZED);
}

size_t sessions_ended(const Daemon &daemon)
{
    return daemon.count_lines("session=.*event=end");
}

int64_t init_with(const DartData &data)
{
    DartData copy = data;
    Isolate isolate;
    return isolate.inside([&] { return tcp_init(&copy, isolate.port().number()); });
}
} // namespace

TEST_CASE("every call before tcp_init gives NOT_INITIALIZED")
{
    const Daemon daemon;
    Isolate isolate;
    check_not_initialized(isolate);
    check_handle_calls_not_initialized(isolate, int64_t{1} << 20);
    CHECK(daemon.count_lines("event=open") == 0);
}

TEST_CASE("every call after tcp_destroy gives NOT_INITIALIZED")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    CHECK(isolate.destroy() == 0);
    check_not_initialized(isolate);
    check_handle_calls_not_initialized(isolate, pair.handle);
}

TEST_CASE("an isolate without a session gives NOT_INITIALIZED even while another has one")
{
    const Daemon daemon;
    Isolate with;
    Isolate without;
    with.start();
    check_not_initialized(without);
    CHECK(connected(with).handle > 0);
}

TEST_CASE("calling tcp_init twice is harmless")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);
    CHECK(isolate.init() == 0);
    CHECK(isolate.is_pending(read));
    pair.peer.send("still here");
    CHECK(isolate.outcome(read).text() == "still here");
    CHECK(daemon.count_lines("event=open") == 1);
}

TEST_CASE("tcp_init with another port ends the earlier session and opens a new one")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair before = connected(isolate);
    isolate.replace_port();
    isolate.start();
    CHECK(before.peer.end() != End::none);
    CHECK(isolate.result(isolate.read(before.handle)) == TCP_ERR_INVALID_HANDLE);
    const Pair after = connected(isolate);
    CHECK(isolate.result(isolate.write(after.handle, "x")) == 1);
    CHECK(daemon.logs("event=open", 2));
}

TEST_CASE("tcp_init refuses what is not the data of a VM that it understands")
{
    const Daemon daemon;
    const auto *good = static_cast<const DartData *>(vm::data());
    Isolate isolate;
    CHECK(isolate.inside([&] { return tcp_init(nullptr, isolate.port().number()); }) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(init_with({1, good->minor, good->functions}) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(init_with({3, 0, good->functions}) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(init_with({2, good->minor, nullptr}) == TCP_ERR_INVALID_ARGUMENT);

    const DartEntry nothing[] = {{nullptr, nullptr}};
    CHECK(init_with({2, good->minor, nothing}) == TCP_ERR_INVALID_ARGUMENT);
    const DartEntry without_post[] = {{"Dart_CurrentIsolate", [] {}}, {nullptr, nullptr}};
    CHECK(init_with({2, good->minor, without_post}) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(daemon.count_lines("event=open") == 0);

    // Nothing of that has done harm.
    isolate.start();
    CHECK(connected(isolate).handle > 0);
}

TEST_CASE("tcp_init outside of any isolate is refused")
{
    const Daemon daemon;
    Isolate isolate;
    CHECK(tcp_init(vm::data(), isolate.port().number()) < 0);
}

TEST_CASE("tcp_destroy completes what is pending with CLOSED before it returns, and nothing is posted afterwards")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const FullListener full;
    const int64_t listener = listening(isolate);
    const Pair reading = connected(isolate);
    const Pair writing = connected(isolate);
    const std::vector<Request> pending{
        isolate.accept(listener),
        isolate.accept(listener),
        isolate.read(reading.handle),
        isolate.write(writing.handle, std::string(32 << 20, 'x')),
        isolate.close_write(writing.handle),
        isolate.connect({full.address(), full.port()}),
    };
    CHECK(isolate.is_pending(pending.back()));
    reading.peer.send("too late?"); // races with the end, which is fine
    CHECK(isolate.destroy() == 0);

    const auto nothing = std::chrono::milliseconds(0);
    for (size_t i = 0; i < pending.size(); i++) {
        CAPTURE(i);
        const int64_t result = isolate.outcome(pending[i], nothing).result;
        CHECK((result == TCP_ERR_CLOSED || (i == 2 && result == 9)));
    }
    std::this_thread::sleep_for(moment);
    CHECK(isolate.untaken() == 0);
}

TEST_CASE("tcp_destroy closes the connections and listeners of the session")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    const Pair in = accepted(isolate, listener);
    const Pair out = connected(isolate);
    CHECK(isolate.destroy() == 0);
    CHECK(in.peer.end() == End::fin);
    CHECK(out.peer.end() == End::fin);
    CHECK(eventually([&] { return !Attempt(local).established(); }));
    CHECK(daemon.logs("session=.*event=end"));
}

TEST_CASE("an isolate may init and destroy as often as it likes")
{
    const Daemon daemon;
    Isolate isolate;
    for (int i = 0; i < 50; i++) {
        isolate.start();
        const Pair pair = connected(isolate);
        CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
        CHECK(isolate.destroy() == 0);
    }
    CHECK(daemon.logs("event=open", 50));
    CHECK(daemon.logs("event=end", 50));
}

TEST_CASE("an isolate that dies without tcp_destroy leaves nothing behind once a post fails")
{
    const Daemon daemon;
    const size_t ended = sessions_ended(daemon);
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Endpoint local = Isolate::local(listener);
    const Pair reading = connected(isolate);
    const Pair idle = accepted(isolate, listener);
    const Request read = isolate.read(reading.handle);
    CHECK(isolate.is_pending(read));

    isolate.die();
    reading.peer.send("anybody there?");
    CHECK(reading.peer.end() != End::none);
    CHECK(idle.peer.end() != End::none);
    CHECK(eventually([&] { return !Attempt(local).established(); }));
    CHECK(eventually([&] { return sessions_ended(daemon) > ended; }));
    CHECK(isolate.port().posts_refused() == 1);
    CHECK(ExternalBytes::alive() == 0);
}

TEST_CASE("the death of an isolate does not disturb another")
{
    const Daemon daemon;
    Isolate alive;
    Isolate dying;
    alive.start();
    dying.start();
    const Pair ours = connected(alive);
    const Pair theirs = connected(dying);
    CHECK(dying.read(theirs.handle).returned == 0);
    dying.die();
    theirs.peer.send("x");
    CHECK(theirs.peer.end() != End::none);
    CHECK(alive.result(alive.write(ours.handle, "fine")) == 4);
    CHECK(ours.peer.receive(4) == "fine");
}

TEST_CASE("a new isolate at the address of a dead one gets a session of its own")
{
    const Daemon daemon;
    Isolate dead;
    dead.start();
    const Pair before = connected(dead);
    dead.die();

    // Nothing was posted since, so that the library cannot know of the death but from these calls.
    Isolate heir(dead.address());
    CHECK(heir.result(heir.connect({loopback4(), 80})) == TCP_ERR_NOT_INITIALIZED);
    CHECK(heir.result(heir.listen({loopback4(), 0})) == TCP_ERR_NOT_INITIALIZED);
    CHECK(heir.enable(0) == TCP_ERR_NOT_INITIALIZED);
    heir.start();
    CHECK(before.peer.end() != End::none);
    CHECK(heir.result(heir.read(before.handle)) == TCP_ERR_INVALID_HANDLE);
    const Pair pair = connected(heir);
    CHECK(heir.result(heir.write(pair.handle, "mine")) == 4);
    CHECK(pair.peer.receive(4) == "mine");
}

TEST_CASE("tcp_destroy in the middle of traffic loses no memory and completes each request once")
{
    const Daemon daemon;
    for (int round = 0; round < 30; round++) {
        Isolate isolate;
        isolate.start();
        const Pair pair = connected(isolate);
        pair.peer.send(pattern(1 << 20));
        std::vector<Request> requests;
        for (int i = 0; i < round; i++) {
            requests.push_back(isolate.write(pair.handle, "some bytes"));
            requests.push_back(isolate.read(pair.handle));
        }
        CHECK(isolate.destroy() == 0);
        for (const Request &request : requests) {
            isolate.outcome(request, std::chrono::milliseconds(0));
        }
    }
    CHECK(ExternalBytes::alive() == 0);
}
