// What a client that follows a daemon to its successor must show, and what it is told.
#include <catch2/catch.hpp>

#include "oche/tcp_socket.h"
#include "tests/support/successor.h"

extern "C" {
#include "proto/handover.h"
}

using namespace test_support;

namespace
{
std::string hexadecimal(const std::string &bytes)
{
    std::string text;
    for (const char byte : bytes) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
        text += digits;
    }
    return text;
}

struct Listening {
    int64_t handle;
    Endpoint at;
};

Listening listen_with(const Wire &wire)
{
    const auto reply = wire.ask(listen_frame(1, {loopback4(), 0}));
    REQUIRE(reply);
    REQUIRE(reply->header.value > 0);
    endpoints decoded{};
    REQUIRE(
        endpoints_decode(&decoded, reinterpret_cast<const uint8_t *>(reply->payload.data()), reply->payload.size()));
    return {reply->header.value, {loopback4(), decoded.local.port}};
}
} // namespace

TEST_CASE("only the token of the session gets its listeners")
{
    Daemon daemon;
    std::string token;
    Listening own{};
    {
        const Wire client(daemon.place().socket_path());
        token = greet(client).token;
        REQUIRE(token.size() == HANDOVER_TOKEN_SIZE);
        own = listen_with(client);
        const Wire other(daemon.place().socket_path());
        CHECK(greet(other).token != token);
        const Successor successor(daemon.place());
        REQUIRE(successor.serves());
        const auto told = client.receive();
        REQUIRE(told);
        CHECK(told->header.opcode == FRAME_HANDOVER);
        CHECK(told->header.value == HANDOVER_YOURS);
        CHECK(client.is_dropped());
        CHECK(daemon.wait() == 0);
        const std::string log = daemon.log() + successor.log();
        CHECK(log.find(token) == std::string::npos);
        CHECK(log.find(hexadecimal(token)) == std::string::npos);

        for (size_t i = 0; i < token.size(); i++) {
            std::string wrong = token;
            wrong[i] = static_cast<char>(wrong[i] ^ 1);
            const Wire thief(daemon.place().socket_path());
            CHECK_FALSE(greet(thief, wrong).resumed);
            const auto reply = thief.ask(plain_frame(FRAME_ACCEPT, 5, own.handle));
            REQUIRE(reply);
            CHECK(reply->header.value == TCP_ERR_INVALID_HANDLE);
        }
        for (const std::string &wrong : {token.substr(1), token + "x", std::string(16, '\0')}) {
            const Wire thief(daemon.place().socket_path());
            CHECK_FALSE(greet(thief, wrong).resumed);
        }
        const Wire heir(daemon.place().socket_path());
        CHECK(greet(heir, token, 7).resumed);
        const Peer peer = Peer::connect(own.at);
        const auto reply = heir.ask(plain_frame(FRAME_ACCEPT, 5, own.handle));
        REQUIRE(reply);
        CHECK(reply->header.value >> 20 == 8); // newer than all that the client knows
        const Wire late(daemon.place().socket_path());
        CHECK_FALSE(greet(late, token).resumed);
    }
}

TEST_CASE("a client is told of each listener that its session has lost, behind its Welcome, and once")
{
    Daemon daemon;
    const Wire client(daemon.place().socket_path());
    const std::string token = greet(client).token;
    const Listening kept = listen_with(client);
    const auto lost = client.ask(listen_frame(2, {loopback4(2), 0}));
    REQUIRE(lost);
    const Successor successor(daemon.place(), {"--allow-listen", "127.0.0.1"});
    REQUIRE(successor.serves());
    const Wire heir(daemon.place().socket_path());
    CHECK(greet(heir, token, 7).resumed);
    const auto told = heir.receive();
    REQUIRE(told);
    CHECK(told->header.opcode == FRAME_HANDOVER);
    CHECK(told->header.flags == FRAME_REPLY);
    CHECK(told->header.request_id == 0);
    CHECK(told->header.handle == lost->header.value);
    CHECK(told->header.value == HANDOVER_LOST);
    const auto refused = heir.ask(plain_frame(FRAME_ACCEPT, 5, lost->header.value));
    REQUIRE(refused);
    CHECK(refused->header.value == TCP_ERR_INVALID_HANDLE);
    const Peer peer = Peer::connect(kept.at);
    const auto accepted = heir.ask(plain_frame(FRAME_ACCEPT, 6, kept.handle));
    REQUIRE(accepted);
    CHECK(accepted->header.value > 0);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("listeners that nobody claims are closed after a while")
{
    Daemon daemon;
    const Wire client(daemon.place().socket_path());
    const std::string token = greet(client).token;
    const Listening listener = listen_with(client);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    CHECK(daemon.wait() == 0);
    CHECK_FALSE(is_refused(listener.at));
    CHECK(eventually([&] { return is_refused(listener.at); }, std::chrono::seconds(30)));
    const Wire late(daemon.place().socket_path());
    CHECK_FALSE(greet(late, token).resumed);
    CHECK(successor.logs("event=unclaimed listeners=1"));
}

TEST_CASE("a client that does not know of handing over is drained, as when the daemon leaves")
{
    Daemon daemon;
    const Wire client(daemon.place().socket_path());
    client.hello();
    const Listening listener = listen_with(client);
    client.send(plain_frame(FRAME_ACCEPT, 9, listener.handle));
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    const auto reply = client.receive();
    REQUIRE(reply);
    CHECK(reply->header.request_id == 9);
    CHECK(reply->header.value == TCP_ERR_CLOSED);
    CHECK(client.is_dropped());
    CHECK(daemon.wait() == 0);
    CHECK(is_refused(listener.at));
}
