#include <catch2/catch.hpp>

extern "C" {
#include "client/session/heartbeat.h"
#include "proto/endpoints.h"
#include "proto/handle.h"
#include "tests/unit/client/session/played_session.h"
}

#include <array>
#include <cerrno>
#include <optional>
#include <vector>

namespace
{
constexpr uint32_t long_time = 600'000; // longer than a test takes

class Played
{
  public:
    explicit Played(bool with_heartbeat = true) : played(played_session_new(with_heartbeat))
    {
        REQUIRE(played != nullptr);
    }
    ~Played()
    {
        played_session_free(played);
    }
    Played(const Played &) = delete;
    Played &operator=(const Played &) = delete;

    int64_t connect(int64_t id, uint32_t limit) const
    {
        const std::array<uint8_t, 4> address{127, 0, 0, 1};
        oche_connect_options options{};
        options.size = sizeof options;
        options.address = address.data();
        options.address_length = address.size();
        options.port = 80;
        options.timeout_ms = limit;
        return oche_connect(session(), id, &options);
    }

    std::optional<oche_completion> completion() const
    {
        oche_completion popped{};
        popped.size = sizeof popped;
        return oche_session_pop(session(), &popped) ? std::optional(popped) : std::nullopt;
    }

    // The next frame from the client, which must be of that kind.
    frame take(uint16_t opcode) const
    {
        frame taken{};
        REQUIRE(played_session_take(played, &taken));
        REQUIRE(taken.opcode == opcode);
        return taken;
    }

    bool takes_nothing() const
    {
        frame taken{};
        return !played_session_take(played, &taken);
    }

    int64_t answer(const frame &request, int64_t value = 0) const
    {
        frame reply{};
        reply.opcode = request.opcode;
        reply.flags = FRAME_REPLY;
        reply.request_id = request.request_id;
        reply.value = value;
        std::array<uint8_t, ENDPOINTS_SIZE> record{};
        if (request.opcode == FRAME_CONNECT && value > 0) {
            endpoints ends{};
            ends.local.address_length = ends.remote.address_length = 4;
            endpoints_encode(&ends, record.data());
            reply.payload_length = ENDPOINTS_SIZE;
        }
        return played_session_say(played, &reply, record.data());
    }

    // A connection that is made.
    int64_t connected() const
    {
        REQUIRE(connect(1, 0) == 0);
        REQUIRE(answer(take(FRAME_CONNECT), handle_make(1, 1)) == 0);
        const auto made = completion();
        REQUIRE(made);
        REQUIRE(made->result > 0);
        return made->result;
    }

    // Lets time pass until the client asks whether the daemon is there.
    frame question() const
    {
        frame asked{};
        for (int ticks = 0; ticks < 10; ticks++) {
            REQUIRE_FALSE(played_session_tick(played));
            if (played_session_take(played, &asked)) {
                REQUIRE(asked.opcode == FRAME_PING);
                return asked;
            }
        }
        FAIL("the daemon is not asked");
        return asked;
    }

    oche_session *session() const
    {
        return played_session_get(played);
    }

    played_session *const played;
};
} // namespace

TEST_CASE("a limit that is over completes the connect with TIMED_OUT, and the daemon hears of it")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    const frame connect = played.take(FRAME_CONNECT);
    CHECK_FALSE(played.completion());
    CHECK_FALSE(played_session_tick(played.played));
    const auto over = played.completion();
    REQUIRE(over);
    CHECK(over->request_id == 7);
    CHECK(over->result == TCP_ERR_TIMED_OUT);
    CHECK(over->os_error == ETIMEDOUT);
    CHECK(played.take(FRAME_CANCEL).value == connect.request_id);
    CHECK(played_session_due_in(played.played) == -1);

    CHECK(played.answer(connect, TCP_ERR_CLOSED) == 0);
    CHECK_FALSE(played.completion());
    CHECK(played_session_pending(played.played) == 0);
    CHECK(played.takes_nothing());
}

TEST_CASE("a connection that is made when the limit is over is closed, and nobody hears of it")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    const frame connect = played.take(FRAME_CONNECT);
    played_session_tick(played.played);
    REQUIRE(played.completion());
    played.take(FRAME_CANCEL);
    const int64_t handle = handle_make(3, 9);
    CHECK(played.answer(connect, handle) == 0);
    const frame close = played.take(FRAME_CLOSE);
    CHECK(close.handle == handle);
    CHECK(played.answer(close) == 0);
    CHECK_FALSE(played.completion());
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("limits are over in their order, and each once")
{
    const Played played(false);
    const std::vector<uint32_t> limits{3 * long_time, long_time, 0, 2 * long_time};
    for (size_t i = 0; i < limits.size(); i++) {
        REQUIRE(played.connect(static_cast<int64_t>(i), limits[i]) == 0);
    }
    for (const int64_t id : {1, 3, 0}) {
        CAPTURE(id);
        played_session_tick(played.played);
        const auto over = played.completion();
        REQUIRE(over);
        CHECK(over->request_id == id);
        CHECK_FALSE(played.completion());
    }
    CHECK(played_session_due_in(played.played) == -1);
    CHECK(played_session_pending(played.played) == 4);
}

TEST_CASE("when the last request with a limit is done nothing is due any more")
{
    const Played played(false);
    REQUIRE(played.connect(1, long_time) == 0);
    REQUIRE(played.connect(2, long_time) == 0);
    const frame first = played.take(FRAME_CONNECT);
    const frame second = played.take(FRAME_CONNECT);
    CHECK(played.answer(first, handle_make(1, 1)) == 0);
    CHECK(played_session_due_in(played.played) > 0);
    CHECK(played.answer(second, TCP_ERR_CONNECT_FAILED) == 0);
    CHECK(played_session_due_in(played.played) == -1);
}

TEST_CASE("a connect that is over cannot be cancelled, and its id may be used again")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    const frame first = played.take(FRAME_CONNECT);
    played_session_tick(played.played);
    REQUIRE(played.completion());
    played.take(FRAME_CANCEL);
    CHECK(oche_cancel(played.session(), 7) == TCP_ERR_INVALID_ARGUMENT);
    REQUIRE(played.connect(7, 0) == 0);
    const frame second = played.take(FRAME_CONNECT);
    CHECK(played.answer(second, handle_make(1, 1)) == 0);
    CHECK(played.completion()->result > 0);
    CHECK(played.answer(first, TCP_ERR_CLOSED) == 0);
    CHECK_FALSE(played.completion());
}

TEST_CASE("a connect that was cancelled completes with CLOSED when its limit is over")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    REQUIRE(oche_cancel(played.session(), 7) == 0);
    played_session_tick(played.played);
    CHECK(played.completion()->result == TCP_ERR_CLOSED);
    played.take(FRAME_CONNECT);
    played.take(FRAME_CANCEL);
    CHECK(played.takes_nothing());
}

TEST_CASE("when the session ends, a connect that is over does not complete again")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    played_session_tick(played.played);
    CHECK(played.completion()->result == TCP_ERR_TIMED_OUT);
    const frame nonsense{};
    CHECK(played_session_say(played.played, &nonsense, nullptr) == TCP_ERR_DAEMON_LOST);
    CHECK_FALSE(played.completion());
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("a daemon that does not answer what it owes is asked, and then lost")
{
    const Played played;
    const int64_t handle = played.connected();
    REQUIRE(oche_write(played.session(), 2, handle, "x", 1) == 0);
    played.take(FRAME_WRITE);
    const frame ping = played.question();
    CHECK(ping.request_id == 0);
    CHECK(ping.handle == 0);
    for (int i = 1; i < HEARTBEAT_TICKS_UNANSWERED; i++) {
        CHECK_FALSE(played_session_tick(played.played));
    }
    CHECK(played_session_tick(played.played));
}

TEST_CASE("a daemon that answers is not lost, however long a write takes")
{
    const Played played;
    const int64_t handle = played.connected();
    REQUIRE(oche_write(played.session(), 2, handle, "x", 1) == 0);
    const frame write = played.take(FRAME_WRITE);
    for (int i = 0; i < 20; i++) {
        CHECK(played.answer(played.question()) == 0);
    }
    CHECK(played.answer(write, 1) == 0);
    CHECK(played.completion()->result == 1);
}

TEST_CASE("a daemon that is slow is not lost while it takes what was sent, and is when it takes no more")
{
    const Played played;
    const int64_t handle = played.connected();
    const std::vector<uint8_t> block(FRAME_PAYLOAD_MAX, 'x');
    int writes = 0;
    while (oche_write(played.session(), 2 + writes, handle, block.data(), block.size()) == 0) {
        writes++; // more than the socket holds, up to the limit on queued bytes
    }
    for (int i = 0; i < writes / 2; i++) {
        played.take(FRAME_WRITE);
        CHECK_FALSE(played_session_tick(played.played));
    }
    bool lost = false;
    for (int ticks = 0; ticks < 10 && !lost; ticks++) {
        lost = played_session_tick(played.played);
    }
    CHECK(lost);
}

TEST_CASE("a read may wait for ever: nothing is due, and nobody is asked")
{
    const Played played;
    const int64_t handle = played.connected();
    REQUIRE(oche_read(played.session(), 3, handle) == 0);
    played.take(FRAME_READ);
    CHECK_FALSE(played_session_tick(played.played)); // that of the connect
    CHECK(played_session_due_in(played.played) == -1);
    CHECK(played_session_pending(played.played) == 1);
    CHECK(played.takes_nothing());
}

TEST_CASE("a daemon that does not know PING is not asked")
{
    const Played played(false);
    const int64_t handle = played.connected();
    REQUIRE(oche_write(played.session(), 2, handle, "x", 1) == 0);
    CHECK(played_session_due_in(played.played) == -1);
}

TEST_CASE("an answer to no question loses the daemon, and so does one that is malformed")
{
    const Played played;
    frame pong{};
    pong.opcode = FRAME_PING;
    pong.flags = FRAME_REPLY;
    SECTION("no question")
    {
    }
    SECTION("malformed")
    {
        REQUIRE(played.connect(1, 0) == 0);
        played.take(FRAME_CONNECT);
        played.question();
        pong.value = 1;
    }
    CHECK(played_session_say(played.played, &pong, nullptr) == TCP_ERR_DAEMON_LOST);
}
