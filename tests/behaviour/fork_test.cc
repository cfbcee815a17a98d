// fork() in the host: the parent keeps its session, the child starts without one.
#include <catch2/catch.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/place.h"
#include "tests/support/skip.h"

using namespace test_support;

namespace
{
// Forks; the child runs the body and leaves with its result. The status of the child.
template <typename Body> int in_child(Body body)
{
    const pid_t pid = fork();
    if (pid == 0) {
        _exit(body());
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
} // namespace

TEST_CASE("fork in the host does not disturb the session of the parent")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Request read = isolate.read(pair.handle);

    CHECK(in_child([] { return 0; }) == 0);
    // With everything that a process does at its end.
    fflush(nullptr);
    const pid_t orderly = fork();
    if (orderly == 0) {
        const auto *x = reinterpret_cast<const uint8_t *>("x");
        const bool refused = tcp_write(1, pair.handle, x, 0, 1) < 0;
        isolate.inside([] { return tcp_destroy(); });
        exit(refused ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(orderly, &status, 0) == orderly);
    CHECK(status == 0);

    pair.peer.send("after the fork");
    CHECK(isolate.outcome(read).text() == "after the fork");
    CHECK(isolate.result(isolate.write(pair.handle, "still one session")) == 17);
    CHECK(pair.peer.receive(17) == "still one session");
}

TEST_CASE("in the child of a fork the library is as if tcp_init had never been called")
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer lets nobody start threads after the fork of a process that has some");
#endif
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const int status = in_child([&] {
        uint8_t address[16];
        if (tcp_read(1, pair.handle) != TCP_ERR_NOT_INITIALIZED) {
            return 1;
        }
        if (tcp_get_local_address(pair.handle, address) != TCP_ERR_NOT_INITIALIZED) {
            return 2;
        }
        if (isolate.inside([] { return tcp_destroy(); }) != TCP_ERR_NOT_INITIALIZED) {
            return 3;
        }
        // And it may be called: the child then has a session of its own.
        const Port port;
        if (isolate.inside([&] { return tcp_init(vm::data(), port.number()); }) != 0) {
            return 4;
        }
        if (isolate.inside([] { return tcp_destroy(); }) != 0) {
            return 5;
        }
        return 0;
    });
    CHECK(status == 0);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
    CHECK(pair.peer.receive(1) == "x");
}

TEST_CASE("the guard of a session, released in the child of a fork, does nothing to the session of the parent")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    void *guard = isolate.inside([] { return oche_isolate_guard(); });
    REQUIRE(guard);
    const int status = in_child([&] {
        if (isolate.inside([] { return oche_isolate_guard(); })) {
            return 1;
        }
        oche_isolate_release(guard);
        return 0;
    });
    CHECK(status == 0);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == 1);
    CHECK(pair.peer.receive(1) == "x");
    oche_isolate_release(guard);
    CHECK(pair.peer.end() == End::fin);
}

TEST_CASE("a child of a fork does not keep the session of its dead parent alive")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const Descriptor output(ends[0]);
    Descriptor input(ends[1]);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        char byte = 0;
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1); // lives until the parent closes the pipe
    }
    CHECK(isolate.destroy() == 0);
    CHECK(pair.peer.end() == End::fin);
    input.reset();
    int status = 1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("the host may fork while other threads use the library")
{
    const Place place;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    std::atomic<bool> done{false};
    std::atomic<int> failures{0};
    std::thread writer([&] {
        const auto *x = reinterpret_cast<const uint8_t *>("x");
        for (int64_t id = 0; !done; id++) {
            failures += tcp_write(-1 - id, pair.handle, x, 0, 1) != 0;
            failures += tcp_get_local_port(pair.handle) <= 0;
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    });
    for (int i = 0; i < 50; i++) {
        // The library's locks are free in the child.
        CHECK(in_child([&] { return tcp_get_local_port(pair.handle) == TCP_ERR_NOT_INITIALIZED ? 0 : 1; }) == 0);
    }
    done = true;
    writer.join();
    CHECK(failures == 0);
    CHECK(isolate.result(isolate.close_write(pair.handle)) == 0);
    const std::string received = pair.peer.receive_all();
    CHECK_FALSE(received.empty());
    CHECK(received == std::string(received.size(), 'x'));
}
