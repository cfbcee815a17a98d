// oched --replace where the daemon that serves does not answer.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/successor.h"
#include "tests/support/text.h"

extern "C" {
#include "proto/handover.h"
}

using namespace test_support;

namespace
{
// So many clients that nobody can connect any more.
std::vector<Descriptor> crowd_at(const Place &place)
{
    std::vector<Descriptor> crowd;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, place.socket_path().c_str(), sizeof address.sun_path - 1);
    for (;;) {
        Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        REQUIRE(fd);
        if (connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) {
            REQUIRE(errno == EAGAIN);
            return crowd;
        }
        crowd.push_back(std::move(fd));
    }
}

struct Pid {
    pid_t number;
    std::string text() const
    {
        return "process " + std::to_string(number) + ")";
    }
};
} // namespace

TEST_CASE("--replace says that the daemon does not answer, and which process it is, and leaves it alone")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const Pid pid{daemon.pid()};
    {
        const Stopped stopped(daemon.pid());
        std::vector<Descriptor> crowd;
        SECTION("it is stopped")
        {
        }
        SECTION("and nobody can connect any more")
        {
            crowd = crowd_at(daemon.place());
        }
        const ProcessResult result = run_daemon(daemon.place().socket_path(), {"--replace"});
        CHECK(result.status == 3);
        CHECK(contains(result.error, "does not answer"));
        CHECK(contains(result.error, pid.text()));
        CHECK(contains(result.error, "--replace=force"));
    }
    CHECK(echoes(isolate, pair));
}

TEST_CASE("--replace=force takes the place of a daemon that does not answer")
{
    Daemon daemon;
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const Request pending = isolate.accept(listening(isolate));
    ::kill(daemon.pid(), SIGSTOP);
    std::vector<Descriptor> crowd;
    SECTION("it is stopped")
    {
    }
    SECTION("and nobody can connect any more")
    {
        crowd = crowd_at(place);
    }
    const Successor successor(place, {"--replace=force"});
    CHECK(daemon.wait() == 128 + SIGKILL);
    REQUIRE(successor.serves());
    CHECK(successor.logs(" warning event=evicted pid=" + std::to_string(daemon.pid()) + " "));
    CHECK(isolate.result(pending) == TCP_ERR_DAEMON_LOST);
    CHECK(isolate.result(isolate.listen({loopback4(), 0})) > 0);
    CHECK(place.starts() == 0);
}

TEST_CASE("--replace=force asks first: a daemon that answers hands over")
{
    Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Successor successor(daemon.place(), {"--replace=force"});
    REQUIRE(successor.serves());
    CHECK(successor.logs("event=inherited listeners=1"));
    CHECK(daemon.wait() == 0);
    CHECK(echoes(isolate, accepted(isolate, listener)));
}

TEST_CASE("--replace=force ends no process that does not hold the lock, whatever the lock file says")
{
    const Daemon daemon;
    Process bystander({{"/bin/sleep", "1000"}, {}, -1, -1, -1, 0, 0});
    const std::string lock = daemon.place().socket_path() + ".lock";
    const Stopped stopped(daemon.pid());
    const Descriptor file(open(lock.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    REQUIRE(dprintf(file.get(), "%d\n", bystander.pid()) > 0);
    const ProcessResult result = run_daemon(daemon.place().socket_path(), {"--replace=force"});
    CHECK(result.status == 1);
    CHECK(contains(result.error, "cannot tell which process"));
    CHECK(is_alive(bystander.pid()));
    CHECK(is_alive(daemon.pid()));
}

TEST_CASE("only who has the key is handed anything")
{
    const Daemon daemon;
    const Place &place = daemon.place();
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    std::vector<WireFrame> wrong{handover_frame(HANDOVER_ASK), ask_frame(place), ask_frame(place)};
    wrong[1].payload.front() ^= 1;
    wrong[2].payload.back() ^= 1;
    size_t refusals = 0;
    for (const WireFrame &frame : wrong) {
        const Wire wire(place.socket_path());
        const auto reply = wire.ask(frame);
        REQUIRE(reply);
        CHECK(reply->header.opcode == FRAME_HANDOVER);
        CHECK(reply->header.value == HANDOVER_KEPT);
        CHECK(reply->header.os_error == EACCES);
        CHECK(wire.is_dropped());
        CHECK(daemon.logs(" warning session=.* event=refused .*does not have the key", ++refusals));
    }
    CHECK(echoes(isolate, accepted(isolate, listener)));
    std::filesystem::rename(place.socket_path() + ".key", place.path("hidden"));
    const ProcessResult result = run_daemon(place.socket_path(), {"--replace"});
    CHECK(result.status == 3);
    CHECK(contains(result.error, place.socket_path() + ".key"));
    CHECK(echoes(isolate, accepted(isolate, listener)));
}
