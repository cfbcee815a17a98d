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
        const bool makes_socket =
            request.opcode == FRAME_CONNECT || request.opcode == FRAME_LISTEN || request.opcode == FRAME_ACCEPT;
        if (makes_socket && value > 0) {
            endpoints ends{};
            ends.local.address_length = 4;
            ends.remote.address_length = request.opcode == FRAME_LISTEN ? 0 : 4;
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

    int64_t listen(int64_t id) const
    {
        const std::array<uint8_t, 4> address{127, 0, 0, 1};
        oche_listen_options options{};
        options.size = sizeof options;
        options.address = address.data();
        options.address_length = address.size();
        return oche_listen(session(), id, &options);
    }

    // A listener that is made.
    int64_t listening() const
    {
        REQUIRE(listen(1) == 0);
        REQUIRE(answer(take(FRAME_LISTEN), handle_make(2, 1)) == 0);
        const auto made = completion();
        REQUIRE(made);
        REQUIRE(made->result > 0);
        return made->result;
    }

    // An accept on it that is made, and at the daemon.
    frame accept(int64_t id, int64_t listener) const
    {
        REQUIRE(oche_accept(session(), id, listener) == 0);
        return take(FRAME_ACCEPT);
    }

    // The same, and its limit is over.
    frame accept_in_vain(int64_t id, int64_t listener) const
    {
        const frame accept = this->accept(id, listener);
        REQUIRE(oche_limit(session(), id, long_time) == 0);
        check_over(id);
        CHECK(take(FRAME_CANCEL).value == accept.request_id);
        return accept;
    }

    // The next thing that is due is the end of this request's time.
    void check_over(int64_t id) const
    {
        CHECK_FALSE(completion());
        CHECK_FALSE(played_session_tick(played));
        check_completed(id, TCP_ERR_TIMED_OUT, ETIMEDOUT);
    }

    // The next completion, and the only one.
    void check_completed(int64_t id, int64_t result, int os_error = 0) const
    {
        const auto completed = completion();
        REQUIRE(completed);
        CHECK(completed->request_id == id);
        CHECK(completed->result == result);
        CHECK(completed->os_error == os_error);
        CHECK_FALSE(completion());
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

// ---- limits of requests that are pending ----

TEST_CASE("each kind of request that the daemon answers can have a limit, and its answer after that finds nobody")
{
    const Played played(false);
    const int64_t connection = played.connected();
    const int64_t listener = played.listening();
    oche_statistics statistics{};
    statistics.size = sizeof statistics;
    int64_t (*const makes)(oche_session *, int64_t, int64_t, int64_t, oche_statistics *) =
        [](oche_session *session, int64_t kind, int64_t on, int64_t at, oche_statistics *into) -> int64_t {
        switch (kind) {
        case FRAME_ACCEPT:
            return oche_accept(session, kind, at);
        case FRAME_WRITE:
            return oche_write(session, kind, on, "x", 1);
        case FRAME_CLOSE_WRITE:
            return oche_close_write(session, kind, on);
        case FRAME_SET_OPTION:
            return oche_set_no_delay(session, kind, on, true);
        case FRAME_STATISTICS:
            return oche_get_statistics(session, kind, into);
        case FRAME_LISTENER_CLOSE:
            return oche_listener_close(session, kind, at, false);
        case FRAME_ABORT:
            return oche_abort(session, kind, on);
        default:
            return TCP_ERR_INVALID_ARGUMENT;
        }
    };
    for (const uint16_t kind : {FRAME_ACCEPT, FRAME_WRITE, FRAME_CLOSE_WRITE, FRAME_SET_OPTION, FRAME_STATISTICS,
                                FRAME_LISTENER_CLOSE, FRAME_ABORT}) {
        CAPTURE(kind);
        REQUIRE(makes(played.session(), kind, connection, listener, &statistics) == 0);
        const frame request = played.take(kind);
        REQUIRE(oche_limit(played.session(), kind, long_time) == 0);
        played.check_over(kind);
        const bool can_be_ended = kind == FRAME_ACCEPT || kind == FRAME_WRITE || kind == FRAME_CLOSE_WRITE;
        if (can_be_ended) {
            CHECK(played.take(FRAME_CANCEL).value == request.request_id);
        }
        CHECK(played.takes_nothing());
        CHECK(oche_limit(played.session(), kind, 1) == TCP_ERR_INVALID_ARGUMENT);
        CHECK(oche_cancel(played.session(), kind) == TCP_ERR_INVALID_ARGUMENT);
        CHECK(played_session_pending(played.played) == 1);
        CHECK(played.answer(request, TCP_ERR_CLOSED) == 0);
        CHECK(played_session_pending(played.played) == 0);
        CHECK_FALSE(played.completion());
    }
    CHECK(played_session_due_in(played.played) == -1);
}

TEST_CASE("a limit replaces the one before, that of the connect included, and 0 takes it away")
{
    const Played played(false);
    REQUIRE(played.connect(7, long_time) == 0);
    REQUIRE(played.connect(8, 4 * long_time) == 0);
    REQUIRE(oche_limit(played.session(), 7, 2 * long_time) == 0);
    CHECK_FALSE(played_session_tick(played.played)); // that of before
    CHECK_FALSE(played.completion());
    REQUIRE(oche_limit(played.session(), 7, 0) == 0);
    CHECK_FALSE(played_session_tick(played.played)); // and that one
    played.check_over(8);
    CHECK(played_session_due_in(played.played) == -1);
    CHECK(played_session_pending(played.played) == 2);
}

TEST_CASE("of requests with the same id the one made last is limited and cancelled")
{
    const Played played(false);
    const int64_t connection = played.connected();
    REQUIRE(oche_read(played.session(), 5, connection) == 0);
    played.take(FRAME_READ);
    REQUIRE(oche_write(played.session(), 5, connection, "xy", 2) == 0);
    const frame write = played.take(FRAME_WRITE);
    REQUIRE(oche_close_write(played.session(), 6, connection) == 0);
    played.take(FRAME_CLOSE_WRITE);
    REQUIRE(oche_cancel(played.session(), 5) == 0);
    CHECK(played.take(FRAME_CANCEL).value == write.request_id);
    CHECK(played.answer(write, 2) == 0);
    played.check_completed(5, 2);
    REQUIRE(oche_cancel(played.session(), 5) == 0);
    played.check_completed(5, TCP_ERR_CLOSED, ECANCELED);
    CHECK(oche_cancel(played.session(), 5) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("a read whose time is over, or that is cancelled, loses nothing: the next one brings what comes")
{
    const Played played(false);
    const int64_t connection = played.connected();
    REQUIRE(oche_read(played.session(), 2, connection) == 0);
    played.take(FRAME_READ);
    SECTION("over")
    {
        REQUIRE(oche_limit(played.session(), 2, long_time) == 0);
        played.check_over(2);
    }
    SECTION("cancelled")
    {
        REQUIRE(oche_cancel(played.session(), 2) == 0);
        played.check_completed(2, TCP_ERR_CLOSED, ECANCELED);
    }
    CHECK(played_session_pending(played.played) == 0);
    CHECK(played.takes_nothing());
    frame data{};
    data.opcode = FRAME_READ;
    data.flags = FRAME_REPLY;
    data.handle = handle_make(1, 1);
    data.value = data.payload_length = 3;
    CHECK(played_session_say(played.played, &data, "abc") == 0);
    CHECK_FALSE(played.completion());
    REQUIRE(oche_read(played.session(), 3, connection) == 0);
    const auto read = played.completion();
    REQUIRE(read);
    CHECK(read->request_id == 3);
    CHECK(read->result == 3);
    oche_data_free(read->data_owner);
}

TEST_CASE("a read on a connection that is closed can be cancelled before the close is answered, and completes once")
{
    const Played played(false);
    const int64_t connection = played.connected();
    REQUIRE(oche_read(played.session(), 2, connection) == 0);
    played.take(FRAME_READ);
    REQUIRE(oche_close(played.session(), 3, connection) == 0);
    const frame close = played.take(FRAME_CLOSE);
    REQUIRE(oche_cancel(played.session(), 2) == 0);
    played.check_completed(2, TCP_ERR_CLOSED, ECANCELED);
    CHECK(played.answer(close) == 0);
    played.check_completed(3, 0);
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("a connection that is accepted when the limit is over is for the accept that has waited longest")
{
    const Played played(false);
    const int64_t listener = played.listening();
    const frame vain = played.accept_in_vain(2, listener);
    const frame third = played.accept(3, listener);
    const frame fourth = played.accept(4, listener);
    CHECK(played.answer(vain, handle_make(5, 1)) == 0);
    const auto accepted = played.completion();
    REQUIRE(accepted);
    CHECK(accepted->request_id == 3);
    CHECK(accepted->result > 0);
    CHECK_FALSE(played.completion());
    CHECK(played.take(FRAME_CANCEL).value == third.request_id); // nobody waits for that any more
    CHECK(played.answer(third, TCP_ERR_CLOSED) == 0);
    CHECK_FALSE(played.completion());
    CHECK(played.answer(fourth, handle_make(6, 1)) == 0);
    CHECK(played.completion()->request_id == 4);
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("what an accept that has changed places brings is passed on again, and a limit goes along")
{
    const Played played(false);
    const int64_t listener = played.listening();
    const frame vain = played.accept_in_vain(2, listener);
    const frame third = played.accept(3, listener);
    REQUIRE(oche_limit(played.session(), 3, long_time) == 0);
    CHECK(played.answer(vain, handle_make(5, 1)) == 0);
    CHECK(played.completion()->request_id == 3);
    CHECK(played_session_due_in(played.played) == -1);
    played.take(FRAME_CANCEL);
    const frame fourth = played.accept(4, listener);
    CHECK(played.answer(third, handle_make(6, 1)) == 0);
    CHECK(played.completion()->request_id == 4);
    CHECK(played.take(FRAME_CANCEL).value == fourth.request_id);
    CHECK(played.answer(fourth, TCP_ERR_CLOSED) == 0);
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("a connection that is accepted when nobody waits is for the next accept, and closed with its listener")
{
    const Played played(false);
    const int64_t listener = played.listening();
    const frame first = played.accept_in_vain(2, listener);
    const frame second = played.accept_in_vain(3, listener);
    CHECK(played.answer(first, handle_make(5, 1)) == 0);
    CHECK(played.answer(second, handle_make(6, 1)) == 0);
    CHECK_FALSE(played.completion());
    CHECK(played_session_pending(played.played) == 0);

    REQUIRE(oche_accept(played.session(), 4, listener) == 0);
    const auto accepted = played.completion();
    REQUIRE(accepted);
    CHECK(accepted->request_id == 4);
    CHECK(accepted->result > 0);
    CHECK(played.takes_nothing());
    REQUIRE(oche_listener_close(played.session(), 5, listener, false) == 0);
    CHECK(played.take(FRAME_CLOSE).handle == handle_make(6, 1));
    CHECK(played.take(FRAME_LISTENER_CLOSE).handle == handle_make(2, 1));
    REQUIRE(oche_write(played.session(), 6, accepted->result, "x", 1) == 0); // the other one lives
}

TEST_CASE("a connection that is accepted when the limit is over and the listener is closed is closed, and nobody hears")
{
    const Played played(false);
    const int64_t listener = played.listening();
    const frame vain = played.accept_in_vain(2, listener);
    REQUIRE(oche_listener_close(played.session(), 3, listener, false) == 0);
    played.take(FRAME_LISTENER_CLOSE);
    CHECK(played.answer(vain, handle_make(5, 1)) == 0);
    const frame close = played.take(FRAME_CLOSE);
    CHECK(close.handle == handle_make(5, 1));
    CHECK(played.answer(close) == 0);
    CHECK_FALSE(played.completion());
}

TEST_CASE("a listener that was made when its limit is over, or when it was cancelled, is closed")
{
    const Played played(false);
    REQUIRE(played.listen(7) == 0);
    const frame listen = played.take(FRAME_LISTEN);
    const bool is_cancelled = GENERATE(false, true);
    if (is_cancelled) {
        REQUIRE(oche_cancel(played.session(), 7) == 0);
    } else {
        REQUIRE(oche_limit(played.session(), 7, long_time) == 0);
        played.check_over(7);
    }
    CHECK(played.takes_nothing());
    CHECK_FALSE(played.completion());
    CHECK(played.answer(listen, handle_make(3, 4)) == 0);
    if (is_cancelled) {
        played.check_completed(7, TCP_ERR_CLOSED, ECANCELED);
    }
    const frame close = played.take(FRAME_LISTENER_CLOSE);
    CHECK(close.handle == handle_make(3, 4));
    CHECK(close.value == 0);
    CHECK(played.answer(close) == 0);
    CHECK_FALSE(played.completion());
    CHECK(played_session_pending(played.played) == 0);
}

TEST_CASE("an accept may wait for ever, but when it is cancelled the daemon owes an answer")
{
    const Played played;
    const int64_t listener = played.listening();
    const frame accept = played.accept(2, listener);
    CHECK_FALSE(played_session_tick(played.played)); // that of the listen
    CHECK(played_session_due_in(played.played) == -1);
    REQUIRE(oche_cancel(played.session(), 2) == 0);
    REQUIRE(oche_cancel(played.session(), 2) == 0); // it is still pending, and is cancelled already
    CHECK(played.take(FRAME_CANCEL).value == accept.request_id);
    CHECK(played.answer(played.question()) == 0);
    CHECK(played.answer(accept, TCP_ERR_CLOSED) == 0);
    played.check_completed(2, TCP_ERR_CLOSED);
    CHECK_FALSE(played_session_tick(played.played));
    CHECK(played_session_due_in(played.played) == -1);
}

TEST_CASE("the bytes of a write whose time is over count against the limit until the daemon has answered")
{
    const Played played(false);
    const int64_t connection = played.connected();
    const std::vector<uint8_t> much(9 << 20, 'x');
    REQUIRE(oche_write(played.session(), 2, connection, much.data(), much.size()) == 0);
    frame write{};
    do {
        write = played.take(FRAME_WRITE);
    } while (write.flags & FRAME_MORE);
    REQUIRE(oche_limit(played.session(), 2, long_time) == 0);
    played.check_over(2);
    CHECK(oche_write(played.session(), 3, connection, much.data(), much.size()) == TCP_ERR_OUT_OF_MEMORY);
    CHECK(played.take(FRAME_CANCEL).value == write.request_id);
    CHECK(played.answer(write, TCP_ERR_CLOSED) == 0);
    CHECK(oche_write(played.session(), 3, connection, much.data(), much.size()) == 0);
}
