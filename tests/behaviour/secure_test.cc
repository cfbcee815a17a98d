// Connections that are open, and get TLS then.
#include <catch2/catch.hpp>

#include <cerrno>
#include <future>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/tls.h"

using namespace test_support;
using namespace test_support::tls;

namespace
{
// A connection between two clients of the daemon, without TLS.
struct Plain {
    Client server;
    Client client;
    int64_t accepted = 0;
    int64_t connected = 0;

    Plain()
    {
        const int64_t listener = server.listen(0);
        REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
        REQUIRE(client.begin_connect(0, server.port_of(listener), nullptr) == 0);
        connected = client.next().result;
        REQUIRE(connected > 0);
        accepted = server.next().result;
        REQUIRE(accepted > 0);
    }
    // Both are secured, for which both have to look after their sessions.
    void check_secured()
    {
        auto served = std::async(std::launch::async, [this] { return server.next(); });
        const Completed asked = client.next();
        INFO(asked.why);
        CHECK(asked.result == 0);
        CHECK(served.get().result == 0);
    }
    void check_echo()
    {
        client.write(connected, "secret\n");
        CHECK(server.read_until(accepted, '\n') == "secret\n");
        server.write(accepted, "answer\n");
        CHECK(client.read_until(connected, '\n') == "answer\n");
    }
};
} // namespace

TEST_CASE("an open connection gets TLS when both sides have agreed to it")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Plain plain;
    const int64_t serving = plain.server.being(identity);
    const int64_t asking = plain.client.trusting(identity.certificate);
    plain.client.write(plain.connected, "STARTTLS\n");
    CHECK(plain.server.read_until(plain.accepted, '\n') == "STARTTLS\n");
    plain.server.write(plain.accepted, "go ahead\n");
    CHECK(plain.client.read_until(plain.connected, '\n') == "go ahead\n");

    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);
    REQUIRE(plain.server.secure(plain.accepted, serving, nullptr) == 0);
    plain.check_secured();
    plain.check_echo();

    plain.client.close(plain.connected);
    REQUIRE(oche_read(plain.server.get(), READ, plain.accepted) == 0);
    CHECK(plain.server.next().result == TCP_ERR_CLOSED);
}

TEST_CASE("what of the other side's TLS has been read already, or lies ahead, is TLS's")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Plain plain;
    const int64_t serving = plain.server.being(identity);
    const int64_t asking = plain.client.trusting(identity.certificate);
    // The client does not wait for an answer.
    plain.client.write(plain.connected, "STARTTLS\n");
    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);

    auto asked = std::async(std::launch::async, [&] { return plain.client.next(); });
    // The line alone, so that what follows lies ahead; or with what follows.
    const size_t enough = GENERATE(9, 200);
    std::string read;
    while (read.size() < enough) {
        REQUIRE(oche_read(plain.server.get(), READ, plain.accepted) == 0);
        read += plain.server.next().text();
    }
    REQUIRE(read.substr(0, 9) == "STARTTLS\n");
    REQUIRE(plain.server.secure(plain.accepted, serving, nullptr, read.substr(9)) == 0);
    CHECK(plain.server.next().result == 0);
    CHECK(asked.get().result == 0);
    plain.check_echo();
}

TEST_CASE("a connection that cannot be secured is told with words, and can be closed")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Plain plain;
    const int64_t asking = plain.client.trusting(identity.certificate);
    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);
    plain.server.write(plain.accepted, "500 I do not know that command\n");
    const Completed failed = plain.client.next();
    CHECK(failed.request_id == SECURE);
    CHECK(failed.result == TCP_ERR_TLS_FAILED);
    CHECK(failed.why == "wrong version number");
    REQUIRE(oche_write(plain.client.get(), WRITE, plain.connected, "x", 1) == 0);
    CHECK(plain.client.next().result == TCP_ERR_WRITE_FAILED);
    REQUIRE(oche_read(plain.client.get(), READ, plain.connected) == 0);
    CHECK(plain.client.next().result == TCP_ERR_READ_FAILED);
    plain.client.close(plain.connected);
}

TEST_CASE("nothing is read or written while a connection is being secured, and a close ends that")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Plain plain;
    const int64_t asking = plain.client.trusting(identity.certificate);
    REQUIRE(oche_read(plain.client.get(), READ, plain.connected) == 0);
    CHECK(plain.client.secure(plain.connected, asking, "oche.test") == TCP_ERR_INVALID_ARGUMENT); // a read is pending
    plain.server.write(plain.accepted, "x");
    CHECK(plain.client.next().result == 1);

    CHECK(plain.client.secure(plain.connected, plain.connected, "oche.test") == TCP_ERR_INVALID_HANDLE);
    CHECK(plain.client.secure(plain.connected, asking, "") == TCP_ERR_INVALID_ARGUMENT);
    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);
    CHECK(oche_read(plain.client.get(), READ, plain.connected) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(oche_write(plain.client.get(), WRITE, plain.connected, "x", 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(plain.client.secure(plain.connected, asking, "oche.test") == TCP_ERR_INVALID_ARGUMENT);

    REQUIRE(oche_close(plain.client.get(), CLOSE, plain.connected) == 0);
    const Completed secured = plain.client.next();
    CHECK(secured.request_id == SECURE);
    CHECK(secured.result == TCP_ERR_CLOSED);
    CHECK(plain.client.next().result == 0);
}

TEST_CASE("a connection that is secured asks as well")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    auto nobody = sized<oche_tls_options>();
    nobody.trust = OCHE_TLS_TRUST_NOBODY;
    const int64_t context = client.make(nobody).result;
    const Server server(identity);
    const Completed plain = client.connect(0, server.port(), nullptr);
    REQUIRE(plain.result > 0);
    auto options = sized<oche_secure_options>();
    options.tls_context = context;
    options.server_name = "oche.test";
    options.asks = true;
    REQUIRE(oche_secure(client.get(), SECURE, plain.result, &options) == 0);
    const Completed asked = client.next();
    CHECK(asked.result == 0);
    CHECK(asked.why == "self-signed certificate");
    CHECK(client.trust(plain.result).result == 0);
    client.write(plain.result, "drawkcab\n");
    CHECK(client.read_until(plain.result, '\n') == "backward\n");
}

TEST_CASE("a connection that is being secured can be asked about, and one that has TLS gets no other")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Plain plain;
    const int64_t serving = plain.server.being(identity);
    const int64_t asking = plain.client.trusting(identity.certificate);
    REQUIRE(plain.server.secure(plain.accepted, serving, nullptr) == 0);
    for (int item = OCHE_TLS_VERSION; item <= OCHE_TLS_SHA1; item++) {
        CAPTURE(item);
        REQUIRE(oche_tls_info(plain.server.get(), INFO, plain.accepted, static_cast<oche_tls_item>(item)) == 0);
        // Until the daemon has put TLS on it there is none to ask about.
        const int64_t result = plain.server.next().result;
        CHECK((result >= 0 || result == TCP_ERR_INVALID_ARGUMENT));
    }
    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);
    plain.check_secured();
    plain.check_echo();

    REQUIRE(plain.client.secure(plain.connected, asking, "oche.test") == 0);
    CHECK(plain.client.next().result == TCP_ERR_INVALID_ARGUMENT);
    plain.client.close(plain.connected);
}
