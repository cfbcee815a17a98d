// What the daemon does with clients that do not speak properly: each is dropped with one line in the log, and
// nobody else notices.
#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <optional>
#include <poll.h>
#include <random>
#include <sys/socket.h>

#include "tests/support/daemon.h"
#include "tests/support/isolate.h"
#include "tests/support/misconduct.h"
#include "tests/support/pair.h"
#include "tests/support/wire.h"

using namespace test_support;

namespace
{
// Sends the bytes on a session that has said hello, or on one that has not, and checks that it is dropped as it
// should be while a good session goes on.
void check_dropped(const std::string &bytes, bool after_hello = true, bool then_hang_up = false)
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    {
        const Wire bad(daemon.place().socket_path());
        if (after_hello) {
            bad.hello();
        }
        REQUIRE(complaints(daemon) == 0);
        bad.send_bytes(bytes);
        if (then_hang_up) {
            shutdown(bad.fd(), SHUT_WR);
        }
        CHECK_FALSE(bad.receive()); // nothing is answered
        CHECK(bad.is_dropped());
    }
    CHECK(daemon.logs(" warning session="));
    CHECK(complaints(daemon) == 1);
    CHECK(good.is_served());
}

std::string frame_bytes(const WireFrame &frame)
{
    struct frame header = frame.header;
    header.body_length = static_cast<uint16_t>(frame.body.size());
    header.payload_length = static_cast<uint32_t>(frame.payload.size());
    return encoded(header) + frame.body + frame.payload;
}

frame header_of(uint16_t opcode)
{
    frame header{};
    header.opcode = opcode;
    return header;
}

endpoints endpoints_of(const WireFrame &reply)
{
    endpoints decoded{};
    REQUIRE(endpoints_decode(&decoded, reinterpret_cast<const uint8_t *>(reply.payload.data()), reply.payload.size()));
    return decoded;
}

WireFrame write_frame(int64_t request_id, int64_t handle, const std::string &bytes, uint16_t flags = 0)
{
    WireFrame write = plain_frame(FRAME_WRITE, request_id, handle);
    write.payload = bytes;
    write.header.flags = flags;
    return write;
}

// A connection of a client that has filled what the kernel takes: its last writes wait.
struct Congested {
    explicit Congested(const Daemon &daemon) : wire(daemon.place().socket_path())
    {
        wire.hello();
        const auto made = wire.ask(connect_frame(1, {listener.address(), listener.port()}));
        REQUIRE(made);
        handle = made->header.value;
        peer.emplace(listener.accept());
        for (; unanswered < 60; unanswered++) {
            wire.send(write_frame(1, handle, std::string(FRAME_PAYLOAD_MAX, 'x')));
        }
    }

    // The next answer that is not one of those writes'.
    WireFrame next()
    {
        for (;;) {
            auto reply = wire.receive();
            REQUIRE(reply);
            if (reply->header.opcode != FRAME_WRITE || reply->header.request_id != 1) {
                return *reply;
            }
            unanswered--;
        }
    }

    PeerListener listener;
    Wire wire;
    std::optional<Peer> peer;
    int64_t handle = 0;
    int unanswered = 0;
};
} // namespace

TEST_CASE("an unknown opcode drops the session with one log line, and the others go on")
{
    check_dropped(encoded(header_of(FRAME_OPCODE_END)));
    check_dropped(encoded(header_of(0)));
    check_dropped(encoded(header_of(0xffff)));
}

TEST_CASE("unknown flags drop the session with one log line, and the others go on")
{
    frame header = header_of(FRAME_STATISTICS);
    header.flags = 1 << 7;
    check_dropped(encoded(header));
}

TEST_CASE("the flag of a reply in a frame from a client drops the session")
{
    frame header = header_of(FRAME_STATISTICS);
    header.flags = FRAME_REPLY;
    check_dropped(encoded(header));
}

TEST_CASE("the flag for more on anything but a write drops the session")
{
    frame header = header_of(FRAME_STATISTICS);
    header.flags = FRAME_MORE;
    check_dropped(encoded(header));
}

TEST_CASE("an absurd body length drops the session")
{
    frame header = header_of(FRAME_CONNECT);
    header.body_length = FRAME_BODY_MAX + 1;
    check_dropped(encoded(header));
    header.body_length = 0xffff;
    check_dropped(encoded(header));
}

TEST_CASE("an absurd payload length drops the session, before any of it has come")
{
    frame header = header_of(FRAME_WRITE);
    header.payload_length = FRAME_PAYLOAD_MAX + 1;
    check_dropped(encoded(header));
    header.payload_length = 0xffffffff;
    check_dropped(encoded(header));
}

TEST_CASE("a body that is no protobuf message drops the session")
{
    WireFrame connect = connect_frame(1, {loopback4(), 80});
    connect.body.assign(20, '\xff');
    check_dropped(frame_bytes(connect));
}

TEST_CASE("a truncated body drops the session when the client hangs up in the middle")
{
    const std::string whole = frame_bytes(connect_frame(1, {loopback4(), 80}));
    const std::string truncated = whole.substr(0, whole.size() - 3);
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    const size_t ended = daemon.count_lines("session=.*event=(end|malformed)");
    {
        const Wire bad(daemon.place().socket_path());
        bad.hello();
        bad.send_bytes(truncated);
        shutdown(bad.fd(), SHUT_WR);
        CHECK(bad.is_dropped());
    }
    CHECK(daemon.logs("session=.*event=(end|malformed)", ended + 1));
    CHECK(daemon.count_lines("session=.*event=(end|malformed)") == ended + 1);
    CHECK(good.is_served());
}

TEST_CASE("a body that its length cuts short drops the session")
{
    WireFrame connect = connect_frame(1, {loopback4(), 80});
    connect.body.resize(3);
    check_dropped(frame_bytes(connect));
}

TEST_CASE("a request before the hello drops the session")
{
    check_dropped(frame_bytes(plain_frame(FRAME_STATISTICS)), false);
    check_dropped(frame_bytes(connect_frame(1, {loopback4(), 80})), false);
}

TEST_CASE("a second hello drops the session")
{
    check_dropped(frame_bytes(hello_frame()));
}

TEST_CASE("a hello of versions that the daemon does not speak is refused with PROTOCOL and a reason, and dropped")
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    for (const auto &[least, most] :
         {std::pair(FRAME_VERSION_MAX + 1, FRAME_VERSION_MAX + 5), std::pair(0, 0), std::pair(1, 1)}) {
        CAPTURE(least, most);
        const size_t before = complaints(daemon);
        const Wire bad(daemon.place().socket_path());
        const auto reply = bad.ask(hello_frame(static_cast<uint32_t>(least), static_cast<uint32_t>(most)));
        REQUIRE(reply);
        CHECK(reply->header.opcode == FRAME_HELLO);
        CHECK((reply->header.flags & FRAME_REPLY));
        CHECK(reply->header.value == TCP_ERR_PROTOCOL);
        CHECK(bad.is_dropped());
        CHECK(daemon.logs(" warning session=", before + 1));
        CHECK(complaints(daemon) == before + 1);
    }
    CHECK(good.is_served());
}

TEST_CASE("a hello of newer versions that go back to the daemon's own is welcome")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    const auto reply = wire.ask(hello_frame(FRAME_VERSION_MIN, FRAME_VERSION_MAX + 100));
    REQUIRE(reply);
    CHECK(reply->header.value >= 0);
    CHECK(wire.is_served());
}

TEST_CASE("a client that connects and says nothing is dropped after some seconds")
{
    const Daemon daemon;
    const Wire silent(daemon.place().socket_path());
    const Wire hesitant(daemon.place().socket_path());
    hesitant.send_bytes(frame_bytes(hello_frame()).substr(0, 10));
    CHECK(silent.is_dropped());
    CHECK(hesitant.is_dropped());
}

TEST_CASE("a frame that arrives byte by byte is understood")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    for (const char byte : frame_bytes(hello_frame())) {
        wire.send_bytes({&byte, 1});
    }
    const auto welcome = wire.receive();
    REQUIRE(welcome);
    CHECK(welcome->header.value >= 0);
    const PeerListener listener;
    for (const char byte : frame_bytes(connect_frame(77, {loopback4(), listener.port()}))) {
        wire.send_bytes({&byte, 1});
    }
    const auto reply = wire.receive();
    REQUIRE(reply);
    CHECK(reply->header.opcode == FRAME_CONNECT);
    CHECK(reply->header.request_id == 77);
    CHECK(reply->header.value > 0);
    CHECK(reply->payload.size() == ENDPOINTS_SIZE);
}

TEST_CASE("a cancel ends the connect that it names with CLOSED, and has no answer of its own")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const FullListener full;
    for (const int64_t id : {-1, 0, 1}) {
        wire.send(connect_frame(id, {full.address(), full.port()}));
    }
    for (const int64_t id : {0, 1, -1}) {
        CAPTURE(id);
        const auto reply = wire.ask(plain_frame(FRAME_CANCEL, 99, 0, id));
        REQUIRE(reply);
        CHECK(reply->header.opcode == FRAME_CONNECT);
        CHECK(reply->header.flags == FRAME_REPLY);
        CHECK(reply->header.request_id == id);
        CHECK(reply->header.value == TCP_ERR_CLOSED);
        CHECK(reply->header.os_error == ECANCELED);
        CHECK(reply->payload.empty());
    }
    CHECK(wire.is_served());
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("PING is answered at once, whatever else is not, also while the daemon leaves")
{
    Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const PeerListener listener;
    const auto made = wire.ask(connect_frame(1, {listener.address(), listener.port()}));
    REQUIRE(made);
    const Peer peer = listener.accept();
    WireFrame write = plain_frame(FRAME_WRITE, 2, made->header.value);
    write.payload = std::string(FRAME_PAYLOAD_MAX, 'x');
    size_t unanswered = 0;
    for (; unanswered < 60; unanswered++) { // more than the kernel takes
        wire.send(write);
    }
    const auto check_answered = [&](int64_t id) {
        wire.send(plain_frame(FRAME_PING, id));
        auto reply = wire.receive();
        for (; reply && reply->header.opcode == FRAME_WRITE; reply = wire.receive()) {
            unanswered--;
        }
        REQUIRE(reply);
        CHECK(reply->header.opcode == FRAME_PING);
        CHECK(reply->header.flags == FRAME_REPLY);
        CHECK(reply->header.request_id == id);
        CHECK(reply->header.value == 0);
    };
    for (const int64_t id : {7, 0, -1}) {
        check_answered(id);
    }
    daemon.kill(SIGTERM);
    REQUIRE(daemon.logs("event=leaving"));
    check_answered(8);
    CHECK(unanswered > 0);
    CHECK(complaints(daemon) == 0);
    daemon.kill(SIGTERM); // it would wait for the peer
    CHECK(daemon.wait() == 0);
}

TEST_CASE("PING has no handle, body or payload, and does not come before the hello or inside of a long write")
{
    check_dropped(frame_bytes(plain_frame(FRAME_PING, 1, 1)));
    WireFrame ping = plain_frame(FRAME_PING, 1);
    ping.body = "x";
    check_dropped(frame_bytes(ping));
    ping = plain_frame(FRAME_PING, 1);
    ping.payload = "x";
    check_dropped(frame_bytes(ping));
    check_dropped(frame_bytes(plain_frame(FRAME_PING, 1)), false);
    WireFrame part = plain_frame(FRAME_WRITE, 1, 1);
    part.payload = "x";
    part.header.flags = FRAME_MORE;
    check_dropped(frame_bytes(part) + frame_bytes(plain_frame(FRAME_PING, 1)));
}

TEST_CASE("a cancelled connect gives its descriptor and its handle back")
{
    DaemonOptions options;
    options.arguments = {"--max-handles", "1"};
    const Daemon daemon(options);
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const FullListener full;
    const PeerListener listener;
    const size_t before = daemon.descriptor_count();
    for (int64_t id = 10; id < 15; id++) {
        CAPTURE(id);
        wire.send(connect_frame(id, {full.address(), full.port()}));
        auto reply = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
        REQUIRE(reply);
        CHECK(reply->header.request_id == 1);
        CHECK(reply->header.value == TCP_ERR_QUOTA);
        CHECK(daemon.descriptor_count() == before + 1);
        reply = wire.ask(plain_frame(FRAME_CANCEL, 0, 0, id));
        REQUIRE(reply);
        CHECK(reply->header.request_id == id);
        CHECK(wire.is_served()); // with that, the turn in which it was cancelled is over
        CHECK(daemon.descriptor_count() == before);
    }
    const auto reply = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
    REQUIRE(reply);
    CHECK(reply->header.value > 0);
}

TEST_CASE("a cancel of no request that waits is ignored")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const FullListener full;
    const Wire other(daemon.place().socket_path());
    other.hello();
    other.send(connect_frame(7, {full.address(), full.port()}));
    CHECK(other.is_served());
    const auto listening = wire.ask(listen_frame(8, {loopback4(), 0}));
    REQUIRE(listening);
    for (const int64_t id : {int64_t{0}, int64_t{7}, int64_t{8}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
        CAPTURE(id);
        wire.send(plain_frame(FRAME_CANCEL, id, 0, id));
        CHECK(wire.is_served()); // with the next frame, so that nothing was answered
    }
    CHECK(other.is_served()); // and so is nothing here
    const auto reply = other.ask(plain_frame(FRAME_CANCEL, 0, 0, 7));
    REQUIRE(reply);
    CHECK(reply->header.request_id == 7);
    CHECK(reply->header.value == TCP_ERR_CLOSED);
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("a cancel of a connect that has been answered is ignored, whatever the answer was")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const PeerListener listener;
    const FullListener full;
    const auto made = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
    REQUIRE(made);
    REQUIRE(made->header.value > 0);
    const Peer peer = listener.accept();
    const auto refused = wire.ask(connect_frame(2, {loopback4(), free_port()}));
    REQUIRE(refused);
    CHECK(refused->header.value == TCP_ERR_CONNECT_FAILED);
    wire.send(connect_frame(3, {full.address(), full.port()}));
    const auto cancelled = wire.ask(plain_frame(FRAME_CANCEL, 0, 0, 3));
    REQUIRE(cancelled);
    CHECK(cancelled->header.value == TCP_ERR_CLOSED);
    for (const int64_t id : {1, 2, 3}) {
        CAPTURE(id);
        wire.send(plain_frame(FRAME_CANCEL, 0, 0, id));
        CHECK(wire.is_served());
    }
    WireFrame write = plain_frame(FRAME_WRITE, 4, made->header.value);
    write.payload = "still there";
    const auto written = wire.ask(write);
    REQUIRE(written);
    CHECK(written->header.value == 11);
    CHECK(peer.receive(11) == "still there");
}

TEST_CASE("a cancelled accept ends with CLOSED, and the connection that comes is the next one's")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto listening = wire.ask(listen_frame(1, {loopback4(), 0}));
    REQUIRE(listening);
    const int64_t listener = listening->header.value;
    const uint16_t port = endpoints_of(*listening).local.port;
    for (const int64_t id : {2, 3, 4}) {
        wire.send(plain_frame(FRAME_ACCEPT, id, listener));
    }
    for (const int64_t id : {3, 2, 4}) { // in the middle, the first, and the last one that there is
        CAPTURE(id);
        const auto reply = wire.ask(plain_frame(FRAME_CANCEL, 0, 0, id));
        REQUIRE(reply);
        CHECK(reply->header.opcode == FRAME_ACCEPT);
        CHECK(reply->header.request_id == id);
        CHECK(reply->header.value == TCP_ERR_CLOSED);
        CHECK(reply->header.os_error == ECANCELED);
        CHECK(reply->payload.empty());
    }
    const Peer peer = Peer::connect({loopback4(), port});
    CHECK(wire.is_served());
    const auto accepted = wire.ask(plain_frame(FRAME_ACCEPT, 5, listener));
    REQUIRE(accepted);
    CHECK(accepted->header.request_id == 5);
    CHECK(accepted->header.value > 0);
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("a write that is cancelled before its turn is not sent, in one frame or in several, and the others are")
{
    const Daemon daemon;
    Congested congested(daemon);
    const int64_t handle = congested.handle;
    congested.wire.send(write_frame(2, handle, "A"));
    congested.wire.send(write_frame(3, handle, "many ", FRAME_MORE));
    congested.wire.send(write_frame(3, handle, "parts ", FRAME_MORE));
    congested.wire.send(plain_frame(FRAME_CANCEL, 0, 0, 3)); // too early: it is ignored
    congested.wire.send(write_frame(3, handle, "and an end"));
    congested.wire.send(write_frame(4, handle, ""));
    congested.wire.send(write_frame(5, handle, "B"));
    congested.wire.send(write_frame(6, handle, "last"));
    for (const int64_t id : {6, 3, 4}) {
        CAPTURE(id);
        congested.wire.send(plain_frame(FRAME_CANCEL, 0, 0, id));
        const WireFrame reply = congested.next();
        CHECK(reply.header.opcode == FRAME_WRITE);
        CHECK(reply.header.request_id == id);
        CHECK(reply.header.value == TCP_ERR_CLOSED);
        CHECK(reply.header.os_error == ECANCELED);
    }
    congested.wire.send(plain_frame(FRAME_CLOSE_WRITE, 7, handle));
    const std::string bytes = congested.peer->receive_all();
    CHECK(bytes.size() == 60 * FRAME_PAYLOAD_MAX + 2);
    CHECK(bytes.substr(60 * FRAME_PAYLOAD_MAX) == "AB");
    for (const int64_t id : {2, 5, 7}) {
        const WireFrame reply = congested.next();
        CHECK(reply.header.request_id == id);
        CHECK(reply.header.value == (id == 7 ? 0 : 1));
    }
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("a write that is cancelled when a part of it is out fails, and with it all that come after")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const PeerListener listener;
    const auto made = wire.ask(connect_frame(1, {listener.address(), listener.port()}));
    REQUIRE(made);
    const int64_t handle = made->header.value;
    const Peer peer = listener.accept();
    for (int part = 0; part < 60; part++) {
        wire.send(write_frame(2, handle, std::string(FRAME_PAYLOAD_MAX, 'x'), part < 59 ? FRAME_MORE : 0));
    }
    CHECK(peer.receive(FRAME_PAYLOAD_MAX + 1).size() == FRAME_PAYLOAD_MAX + 1); // one part, and some of the next
    wire.send(write_frame(3, handle, "y"));
    wire.send(plain_frame(FRAME_CLOSE_WRITE, 4, handle));
    wire.send(plain_frame(FRAME_CANCEL, 0, 0, 2));
    wire.send(write_frame(5, handle, "z"));
    wire.send(plain_frame(FRAME_CLOSE_WRITE, 6, handle));
    for (const int64_t id : {2, 3, 4, 5, 6}) {
        CAPTURE(id);
        const auto reply = wire.receive();
        REQUIRE(reply);
        CHECK(reply->header.request_id == id);
        CHECK(reply->header.value == TCP_ERR_WRITE_FAILED);
        CHECK(reply->header.os_error == ECANCELED);
    }
    const auto statistics = wire.ask(plain_frame(FRAME_STATISTICS));
    REQUIRE(statistics);
    const auto closed = wire.ask(plain_frame(FRAME_CLOSE, 7, handle));
    REQUIRE(closed);
    CHECK(closed->header.value == 0);
    const Rest rest = peer.rest();
    CHECK(rest.end == End::reset);
    CHECK(rest.bytes == std::string(rest.bytes.size(), 'x'));
}

TEST_CASE("a write in one frame that is cancelled when some of it is out is not taken back")
{
    constexpr int64_t count = 60;
    const auto bytes_of = [](int64_t id) { return std::string(FRAME_PAYLOAD_MAX, static_cast<char>('A' + id)); };
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const PeerListener listener;
    const auto made = wire.ask(connect_frame(1, {listener.address(), listener.port()}));
    REQUIRE(made);
    const Peer peer = listener.accept();
    for (int64_t id = 0; id < count; id++) {
        wire.send(write_frame(id, made->header.value, bytes_of(id)));
    }
    // The kernel may take more at any time, so it is tried until the first one that waits does not succeed.
    int64_t first = 0;
    std::optional<frame> refused;
    while (!refused) {
        wire.send(plain_frame(FRAME_CANCEL, 0, 0, first));
        wire.send(plain_frame(FRAME_PING));
        for (auto reply = wire.receive(); reply->header.opcode != FRAME_PING; reply = wire.receive()) {
            if (reply->header.value > 0) {
                first = reply->header.request_id + 1;
            } else if (!refused) {
                refused = reply->header;
            }
        }
    }
    CHECK(refused->request_id == first);
    CHECK(refused->os_error == ECANCELED);
    wire.send(plain_frame(FRAME_CLOSE, 99, made->header.value));
    std::string expected;
    for (int64_t id = 0; id < first; id++) {
        expected += bytes_of(id);
    }
    const Rest rest = peer.rest();
    if (refused->value == TCP_ERR_WRITE_FAILED) {
        CHECK(rest.end == End::reset);
        CHECK(rest.bytes.size() > expected.size());
        expected += bytes_of(first).substr(0, rest.bytes.size() - expected.size());
    } else { // the kernel had taken whole frames only
        CHECK(refused->value == TCP_ERR_CLOSED);
        CHECK(rest.end == End::fin);
        for (int64_t id = first + 1; id < count; id++) {
            expected += bytes_of(id);
        }
    }
    CHECK((rest.bytes == expected));
}

TEST_CASE("an end of the stream that is cancelled before its turn is taken back, and writes go on")
{
    const Daemon daemon;
    Congested congested(daemon);
    const Wire &wire = congested.wire;
    const int64_t handle = congested.handle;
    const auto check_cancelled = [&](int64_t id) {
        wire.send(plain_frame(FRAME_CANCEL, 0, 0, id));
        const WireFrame reply = congested.next();
        CHECK(reply.header.opcode == FRAME_CLOSE_WRITE);
        CHECK(reply.header.request_id == id);
        CHECK(reply.header.value == TCP_ERR_CLOSED);
        CHECK(reply.header.os_error == ECANCELED);
    };
    wire.send(plain_frame(FRAME_CLOSE_WRITE, 2, handle));
    check_cancelled(2);
    wire.send(write_frame(3, handle, "A"));
    wire.send(plain_frame(FRAME_CLOSE_WRITE, 4, handle));
    wire.send(plain_frame(FRAME_CLOSE_WRITE, 5, handle));
    check_cancelled(4); // the other one still wants it
    wire.send(write_frame(6, handle, "B"));
    const WireFrame refused = congested.next();
    CHECK(refused.header.request_id == 6);
    CHECK(refused.header.os_error == EPIPE);
    wire.send(plain_frame(FRAME_CANCEL, 0, 0, 5)); // too late: there would be a hole in the place of the B
    const std::string bytes = congested.peer->receive_all();
    CHECK(bytes.substr(60 * FRAME_PAYLOAD_MAX) == "A");
    for (const int64_t id : {3, 5}) {
        const WireFrame reply = congested.next();
        CHECK(reply.header.request_id == id);
        CHECK(reply.header.value == (id == 3 ? 1 : 0));
    }
    CHECK(complaints(daemon) == 0);
}

TEST_CASE("accepts that are cancelled give back what the next connection was to take, its turn in the second included")
{
    DaemonOptions options;
    options.arguments = {"--user-max-handles", "2", "--user-max-connection-rate", "3"};
    const Daemon daemon(options);
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto listening = wire.ask(listen_frame(1, {loopback4(), 0}));
    REQUIRE(listening);
    const PeerListener target;
    for (int64_t id = 10; id < 20; id++) {
        CAPTURE(id);
        wire.send(plain_frame(FRAME_ACCEPT, id, listening->header.value));
        const auto refused = wire.ask(connect_frame(1, {loopback4(), target.port()}));
        REQUIRE(refused);
        CHECK(refused->header.value == TCP_ERR_QUOTA);
        const auto reply = wire.ask(plain_frame(FRAME_CANCEL, 0, 0, id));
        REQUIRE(reply);
        CHECK(reply->header.request_id == id);
    }
    const auto made = wire.ask(connect_frame(1, {loopback4(), target.port()}));
    REQUIRE(made);
    CHECK(made->header.value > 0);
}

TEST_CASE("a cancel with a body, a payload or a handle drops the session")
{
    WireFrame cancel = plain_frame(FRAME_CANCEL, 0, 0, 1);
    cancel.body = "body";
    check_dropped(frame_bytes(cancel));
    cancel = plain_frame(FRAME_CANCEL, 0, 0, 1);
    cancel.payload = "payload";
    check_dropped(frame_bytes(cancel));
    check_dropped(frame_bytes(plain_frame(FRAME_CANCEL, 0, 1, 1)));
    check_dropped(frame_bytes(plain_frame(FRAME_CANCEL, 0, 0, 1)), false); // before the hello
}

TEST_CASE("requests that are refused, not malformed, leave the session open")
{
    const Daemon daemon;
    const Wire wire(daemon.place().socket_path());
    wire.hello();
    const auto refusal = [&](const WireFrame &frame) {
        const auto reply = wire.ask(frame);
        return reply ? reply->header.value : 0;
    };
    CHECK(refusal(plain_frame(FRAME_CLOSE_WRITE, 1, 12345678)) == TCP_ERR_INVALID_HANDLE);
    CHECK(refusal(plain_frame(FRAME_CLOSE, 1, -1)) == TCP_ERR_INVALID_HANDLE);
    CHECK(refusal(connect_frame(1, {{1, 2, 3}, 80})) == TCP_ERR_INVALID_ADDRESS);
    CHECK(refusal(connect_frame(1, {loopback4(), 0})) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(refusal(listen_frame(1, {{1, 2, 3, 4, 5}, 80})) == TCP_ERR_INVALID_ADDRESS);
    CHECK(wire.is_served());
}

TEST_CASE("a client that sends requests and never reads the replies is bounded, and holds up nobody")
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    const size_t before = resident_bytes_of(daemon.pid());
    const Wire greedy(daemon.place().socket_path());
    greedy.hello();
    const std::string question = frame_bytes(plain_frame(FRAME_STATISTICS, 1));
    std::string questions;
    for (int i = 0; i < 1000; i++) {
        questions += question;
    }
    // Until it is dropped, or the daemon has read nothing for a while.
    constexpr size_t much = 256 << 20;
    pollfd writable{greedy.fd(), POLLOUT, 0};
    for (size_t sent = 0; sent < much && poll(&writable, 1, static_cast<int>(moment.count())) == 1;) {
        const ssize_t count = send(greedy.fd(), questions.data(), questions.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0) {
            break;
        }
        sent += static_cast<size_t>(count);
    }
    CHECK(good.is_served());
    CHECK(resident_bytes_of(daemon.pid()) < before + (64 << 20));
}

TEST_CASE("random bytes never harm the daemon, and each session that sends them costs one log line at most")
{
    const Daemon daemon;
    Isolate isolate;
    isolate.start();
    const Pair pair = connected(isolate);
    std::mt19937 random(20'261'120); // the same bytes each time
    constexpr size_t rounds = 40;
    for (size_t round = 0; round < rounds; round++) {
        const Wire wire(daemon.place().socket_path());
        if (round % 2) {
            wire.hello();
        }
        std::string bytes(1 + random() % 5000, '\0');
        for (char &byte : bytes) {
            byte = static_cast<char>(random());
        }
        wire.send_bytes(bytes);
        shutdown(wire.fd(), SHUT_WR);
        CHECK(wire.is_dropped());
    }
    CHECK(complaints(daemon) <= rounds);
    CHECK(isolate.result(isolate.write(pair.handle, "unharmed")) == 8);
    CHECK(pair.peer.receive(8) == "unharmed");
}

TEST_CASE("good frames with one field changed at random never harm the daemon")
{
    const Daemon daemon;
    const Wire good(daemon.place().socket_path());
    good.hello();
    std::mt19937 random(47'11);
    const PeerListener listener;
    for (int round = 0; round < 200; round++) {
        const Wire wire(daemon.place().socket_path());
        wire.hello();
        const auto reply = wire.ask(connect_frame(1, {loopback4(), listener.port()}));
        REQUIRE(reply);
        WireFrame write = plain_frame(FRAME_WRITE, 2, reply->header.value);
        write.payload = "payload";
        std::string bytes = frame_bytes(write) + frame_bytes(plain_frame(FRAME_READ, 0, reply->header.value, 1000)) +
                            frame_bytes(listen_frame(4, {loopback4(), 0})) +
                            frame_bytes(plain_frame(FRAME_LISTENER_CLOSE, 5, reply->header.value)) +
                            frame_bytes(plain_frame(FRAME_CLOSE, 6, reply->header.value));
        bytes[random() % bytes.size()] = static_cast<char>(random());
        wire.send_bytes(bytes);
        shutdown(wire.fd(), SHUT_WR);
        CHECK(wire.is_dropped());
        while (listener.has_connection(std::chrono::milliseconds(0))) {
            listener.accept();
        }
    }
    CHECK(good.is_served());
}
