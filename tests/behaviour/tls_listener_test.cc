// Listeners with TLS, and how what has TLS fares when certificates, clients and daemons change.
#include <catch2/catch.hpp>

#include <cerrno>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/successor.h"
#include "tests/support/tls.h"

using namespace test_support;
using namespace test_support::tls;

TEST_CASE("a listener with TLS gives connections whose handshakes are done, to oche and to others")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client server;
    const int64_t listener = server.listen(server.being(identity));
    const uint16_t port = server.port_of(listener);

    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
    Client client;
    const Completed connected = client.connect(client.trusting(identity.certificate), port);
    INFO(connected.why);
    REQUIRE(connected.result > 0);
    const Completed accepted = server.next();
    REQUIRE(accepted.request_id == ACCEPT);
    REQUIRE(accepted.result > 0);
    REQUIRE(oche_write(client.get(), WRITE, connected.result, "hello\n", 6) == 0);
    CHECK(client.next().result == 6);
    CHECK(server.read_until(accepted.result, '\n') == "hello\n");
    REQUIRE(oche_write(server.get(), WRITE, accepted.result, "welcome\n", 8) == 0);
    CHECK(server.next().result == 8);
    CHECK(client.read_until(connected.result, '\n') == "welcome\n");
    client.close(connected.result);
    REQUIRE(oche_read(server.get(), READ, accepted.result) == 0);
    CHECK(server.next().result == TCP_ERR_CLOSED); // for closing says so

    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
    ProcessOptions options;
    options.arguments = {openssl,
                         "s_client",
                         "-connect",
                         "127.0.0.1:" + std::to_string(port),
                         "-CAfile",
                         identity.certificate,
                         "-verify_return_error",
                         "-verify_hostname",
                         "oche.test",
                         "-brief"};
    const Descriptor nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
    options.input = options.output = options.error = nothing.get();
    Process other(options);
    const Completed of_other = server.next();
    REQUIRE(of_other.result > 0);
    CHECK(other.wait() == 0);
}

TEST_CASE("who never says anything, and who speaks no TLS, holds up nobody")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client server;
    const int64_t listener = server.listen(server.being(identity));
    const Endpoint at{loopback4(), server.port_of(listener)};
    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);

    const Peer silent = Peer::connect(at);
    const Peer stranger = Peer::connect(at);
    stranger.send("GET / HTTP/1.1\r\n\r\n");
    CHECK(stranger.end() != End::none);
    CHECK(daemon.logs("event=handshake-failed handle=.* listener=.* why=\"http request\""));

    Client client;
    const Completed connected = client.connect(client.trusting(identity.certificate), at.port);
    CHECK(connected.result > 0);
    CHECK(server.next().result > 0);

    // With the listener goes what is under way.
    REQUIRE(oche_listener_close(server.get(), CLOSE, listener, false) == 0);
    CHECK(server.next().result == 0);
    CHECK(silent.end() == End::reset);
}

TEST_CASE("connections that are secured before anybody asks for them are kept for those who do")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client server;
    const int64_t listener = server.listen(server.being(identity));
    Client clients[3];
    for (Client &client : clients) {
        const int64_t context = client.trusting(identity.certificate);
        REQUIRE(client.begin_connect(context, server.port_of(listener)) == 0);
    }
    for (int i = 0; i < 3; i++) {
        REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
        CHECK(server.next().result > 0);
    }
    for (Client &client : clients) {
        CHECK(client.next().result > 0);
    }
}

TEST_CASE("a listener with TLS keeps its context, and cannot be durable")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client server;
    const int64_t context = server.being(identity);
    const int64_t listener = server.listen(context);
    server.close(context);
    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
    Client client;
    CHECK(client.connect(client.trusting(identity.certificate), server.port_of(listener)).result > 0);
    CHECK(server.next().result > 0);

    const Address address = loopback4();
    auto options = sized<oche_listen_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.tls_context = context;
    CHECK(oche_listen(server.get(), LISTEN, &options) == TCP_ERR_INVALID_HANDLE);
    options.tls_context = server.being(identity);
    options.durable = true;
    CHECK(oche_listen(server.get(), LISTEN, &options) == TCP_ERR_INVALID_ARGUMENT);
}

TEST_CASE("a context that is replaced shows another certificate to those who come, and those who are there go on")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity before(daemon.place(), "before");
    const Identity after(daemon.place(), "after");
    Client client;
    const int64_t context = client.being(before);
    const int64_t listener = client.listen(context);
    const auto [server, peer] = client.meet(listener, client.trusting(before.certificate));
    const auto replace = [&](const Identity &identity) {
        client.with(identity, "", [&](const oche_tls_options &options) {
            REQUIRE(oche_tls_replace(client.get(), REPLACE, context, &options) == 0);
        });
        return client.next();
    };
    Identity broken = after;
    broken.key = before.key;
    const Completed refused = replace(broken);
    CHECK(refused.result == TCP_ERR_INVALID_ARGUMENT);
    CHECK(refused.why == "the key does not belong to the certificate");
    client.meet(listener, client.trusting(before.certificate));

    CHECK(replace(after).result == 0);
    client.meet(listener, client.trusting(after.certificate));
    client.write(server, "hello");
    CHECK(client.read_until(peer, 'o') == "hello");
    auto options = sized<oche_tls_options>();
    CHECK(oche_tls_replace(client.get(), REPLACE, listener, &options) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("a server that asks for certificates accepts who shows one that it trusts, and nobody else")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity server_identity(daemon.place(), "server");
    const Identity somebody(daemon.place(), "somebody");
    Client client;
    const int64_t listener = client.listen(client.being(server_identity, somebody.certificate));
    Completed showing;
    client.with(somebody, server_identity.certificate, [&](oche_tls_options options) {
        options.client_certificate = OCHE_TLS_CLIENT_NOT_ASKED;
        showing = client.make(options);
    });
    const auto [server, peer] = client.meet(listener, showing.result);
    CHECK(client.info(server, OCHE_TLS_SUBJECT) == "/CN=somebody");

    // A client of TLS 1.3 learns that after it has connected.
    const Completed not_shown = client.connect(client.trusting(server_identity.certificate), client.port_of(listener));
    REQUIRE(not_shown.result > 0);
    REQUIRE(oche_accept(client.get(), ACCEPT, listener) == 0);
    REQUIRE(oche_read(client.get(), READ, not_shown.result) == 0);
    const Completed read = client.next();
    CHECK(read.request_id == READ);
    CHECK(read.result == TCP_ERR_READ_FAILED);
    CHECK(client.info(not_shown.result, OCHE_TLS_FAILURE) == "tlsv13 alert certificate required");
    CHECK(daemon.logs("why=\"peer did not return a certificate\""));
}

TEST_CASE("who comes again resumes its session, in another session of the daemon, too, and the daemon counts that")
{
    NEEDS_OPENSSL()
    const Daemon daemon({{"--workers", "2"}});
    const Identity identity(daemon.place());
    Client client;
    Client elsewhere; // another worker's
    const int64_t context = client.trusting(identity.certificate);
    const int64_t here = client.listen(client.being(identity));
    const int64_t there = elsewhere.listen(elsewhere.being(identity));
    const auto [server, peer] = client.meet(here, context);
    client.write(server, "x"); // behind the tickets
    CHECK(client.read_until(peer, 'x') == "x");
    CHECK(client.info(peer, OCHE_TLS_RESUMED).empty());
    client.close(peer);

    REQUIRE(oche_accept(elsewhere.get(), ACCEPT, there) == 0);
    const Completed again = client.connect(context, elsewhere.port_of(there));
    REQUIRE(again.result > 0);
    CHECK(elsewhere.next().result > 0);
    CHECK(client.info(again.result, OCHE_TLS_RESUMED) == "1");

    auto statistics = sized<oche_statistics>();
    REQUIRE(oche_get_statistics(client.get(), 99, &statistics) == 0);
    CHECK(client.next().result == 0);
    CHECK(statistics.handshakes == 4);
    CHECK(statistics.handshakes_resumed == 2);
    CHECK(statistics.handshakes_failed == 0);
}

TEST_CASE("what has TLS ends with DAEMON_LOST when the daemon hands over, and begins anew at the successor")
{
    NEEDS_OPENSSL()
    Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    const int64_t listener = client.listen(client.being(identity));
    const int64_t plain = client.listen(0);
    const auto [server, peer] = client.meet(listener, context);
    REQUIRE(oche_accept(client.get(), ACCEPT, listener) == 0);
    REQUIRE(oche_read(client.get(), READ, peer) == 0);
    REQUIRE(oche_accept(client.get(), ACCEPT + 100, plain) == 0);
    const Successor successor(daemon.place());
    REQUIRE(successor.serves());
    for (int i = 0; i < 2; i++) {
        const Completed lost = client.next();
        CAPTURE(lost.request_id);
        CHECK((lost.request_id == ACCEPT || lost.request_id == READ));
        CHECK(lost.result == TCP_ERR_DAEMON_LOST);
    }
    CHECK(client.is_quiet()); // the listener without TLS goes on
    CHECK(daemon.wait() == 0);

    CHECK(client.begin_connect(context, client.port_of(plain)) == TCP_ERR_INVALID_HANDLE);
    client.meet(client.listen(client.being(identity)), client.trusting(identity.certificate));
    REQUIRE(oche_accept(client.get(), ACCEPT, plain) == 0);
    CHECK(client.is_quiet());
}

TEST_CASE("a connection whose peer is gone before anybody asks for it still says who that was")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client server;
    Client client;
    const int64_t listener = server.listen(server.being(identity));
    const int64_t context = client.trusting(identity.certificate);
    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
    const Completed first = client.connect(context, server.port_of(listener));
    const Completed second = client.connect(context, server.port_of(listener));
    REQUIRE(first.result > 0);
    REQUIRE(second.result > 0);
    CHECK(server.next().result > 0);
    const uint16_t port = client.port_of(second.result);
    REQUIRE(oche_abort(client.get(), CLOSE, second.result) == 0);
    CHECK(client.next().result == 0);

    REQUIRE(oche_accept(server.get(), ACCEPT, listener) == 0);
    const Completed accepted = server.next();
    REQUIRE(accepted.result > 0);
    auto remote = sized<oche_endpoint>();
    REQUIRE(oche_get_remote(server.get(), accepted.result, &remote) == 0);
    CHECK(remote.port == port);
    REQUIRE(oche_read(server.get(), READ, accepted.result) == 0);
    CHECK(server.next().result == TCP_ERR_READ_FAILED);
}
