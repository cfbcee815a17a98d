// oche_abort and oche_isolate_abort: the end without what was not sent, and with a reset.
#include <catch2/catch.hpp>

#include <poll.h>
#include <string>

#include "oche/oche.h"
#include "tests/support/counters.h"
#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/pair.h"
#include "tests/support/sized.h"
#include "tests/support/text.h"

using namespace test_support;

TEST_CASE("abort completes what is pending with CLOSED, and the peer sees a reset")
{
    const Daemon daemon;
    const Counters counters;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    const std::string sent = pattern(32 << 20);
    const Request read = isolate.read(pair.handle);
    const Request write = isolate.write(pair.handle, sent);
    const Request close_write = isolate.close_write(pair.handle);
    CHECK(isolate.is_pending(write));
    const Request abort = isolate.abort(pair.handle);
    CHECK(isolate.result(isolate.write(pair.handle, "x")) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(abort) == 0);
    CHECK(isolate.result(read) == TCP_ERR_CLOSED);
    CHECK(isolate.result(write) == TCP_ERR_CLOSED);
    CHECK(isolate.result(close_write) == TCP_ERR_CLOSED);
    const oche_statistics now = counters.look();
    CHECK(now.user_handles.used == 0);
    CHECK(now.user_queued_bytes.used == 0);
    const Rest rest = pair.peer.rest();
    CHECK(rest.bytes.size() < sent.size());
    CHECK((rest.bytes == sent.substr(0, rest.bytes.size())));
    CHECK((rest.end == End::reset));
}

TEST_CASE("abort resets a connection that has nothing to send, too, and no other one")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const int64_t listener = listening(isolate);
    const Pair idle = accepted(isolate, listener);
    const Pair half_closed = accepted(isolate, listener);
    const Pair other = accepted(isolate, listener);
    CHECK(isolate.result(isolate.close_write(half_closed.handle)) == 0);
    CHECK(isolate.result(isolate.abort(idle.handle)) == 0);
    CHECK(isolate.result(isolate.abort(half_closed.handle)) == 0);
    CHECK((idle.peer.end() == End::reset));
    CHECK(isolate.result(isolate.abort(idle.handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK(isolate.result(isolate.abort(listener)) == TCP_ERR_INVALID_HANDLE);
    CHECK(echoes(isolate, other));
}

TEST_CASE("oche_abort does the same without Dart")
{
    const Daemon daemon;
    const PeerListener listener;
    oche_session *session = nullptr;
    REQUIRE(oche_session_open(nullptr, &session) == 0);
    const auto complete = [&](int64_t returned) {
        auto completion = sized<oche_completion>();
        if (returned < 0) {
            return returned;
        }
        while (!oche_session_pop(session, &completion)) {
            pollfd polled{oche_session_get_fd(session), POLLIN, 0};
            REQUIRE(poll(&polled, 1, static_cast<int>(patience.count())) == 1);
            oche_session_dispatch(session);
        }
        oche_data_free(completion.data_owner);
        return completion.result;
    };
    auto target = sized<oche_connect_options>();
    target.address = listener.address().data();
    target.address_length = listener.address().size();
    target.port = listener.port();
    const int64_t handle = complete(oche_connect(session, 1, &target));
    const Peer peer = listener.accept();
    CHECK(complete(oche_abort(session, 2, handle)) == 0);
    CHECK(complete(oche_abort(session, 3, handle)) == TCP_ERR_INVALID_HANDLE);
    CHECK((peer.end() == End::reset));
    oche_session_close(session);
}
