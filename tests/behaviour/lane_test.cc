// The choice of the lane.
#include <catch2/catch.hpp>

#include <string>
#include <utility>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/setting.h"
#include "tests/support/sized.h"
#include "tests/support/text.h"

using namespace test_support;

namespace
{
int64_t init_with_lane(Isolate &isolate, const char *lane)
{
    const Setting setting("OCHE_LANE", lane);
    return isolate.init();
}
} // namespace

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
    auto options = sized<oche_session_options>();
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
    auto options = sized<oche_session_options>();
    options.lane = static_cast<oche_lane>(3);
    oche_session *session = nullptr;
    CHECK(oche_session_open(&options, &session) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(daemon.count_lines("event=open") == 0);
    CHECK(init_with_lane(isolate, "plain") == 0);
}

TEST_CASE("the lane of the options goes before that of the environment")
{
    const Daemon daemon;
    auto options = sized<oche_session_options>();
    oche_session *session = nullptr;
    for (const auto &[lane, name] : {std::pair(OCHE_LANE_PLAIN, "plain"), std::pair(OCHE_LANE_MEMORY, "memory")}) {
        options.lane = lane;
        REQUIRE(oche_session_open(&options, &session) == 0);
        CHECK(daemon.logs(std::string("event=open .*lane=") + name));
        oche_session_close(session);
    }
}
