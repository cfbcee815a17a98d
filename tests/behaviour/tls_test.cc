// TLS: contexts, connects to OpenSSL's own server, and what can be asked.
#include <catch2/catch.hpp>

#include <cerrno>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/tls.h"

using namespace test_support;
using namespace test_support::tls;

TEST_CASE("a connection with TLS writes and reads like one without")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const Server server(identity);
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    const Completed connected = client.connect(context, server.port());
    INFO(connected.why);
    REQUIRE(connected.result > 0);
    REQUIRE(oche_write(client.get(), WRITE, connected.result, "drawkcab\n", 9) == 0);
    CHECK(client.next().result == 9);
    CHECK(client.read_until(connected.result, '\n') == "backward\n");

    // Lines of many records, which come back as long as they were.
    const std::string line = std::string(10'000, 'x') + "\n";
    for (int i = 0; i < 20; i++) {
        REQUIRE(oche_write(client.get(), WRITE, connected.result, line.data(), line.size()) == 0);
        REQUIRE(client.next().result == static_cast<int64_t>(line.size()));
        REQUIRE(client.read_until(connected.result, '\n') == line);
    }
    REQUIRE(oche_close(client.get(), CLOSE, connected.result) == 0);
    CHECK(client.next().result == 0);
}

TEST_CASE("a server that is not who it should be fails the connect, with words")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const Server server(identity);
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    const Completed by_address = client.connect(context, server.port(), "127.0.0.1");
    REQUIRE(by_address.result > 0);
    REQUIRE(oche_close(client.get(), CLOSE, by_address.result) == 0); // the server has one at a time
    CHECK(client.next().result == 0);

    const Completed other = client.connect(context, server.port(), "other.test");
    CHECK(other.result == TCP_ERR_TLS_FAILED);
    CHECK(other.os_error == EPROTO);
    CHECK(other.why == "hostname mismatch");

    auto options = sized<oche_tls_options>();
    options.trust = OCHE_TLS_TRUST_SYSTEM;
    const Completed made = client.make(options);
    REQUIRE(made.result > 0);
    const Completed stranger = client.connect(made.result, server.port());
    CHECK(stranger.result == TCP_ERR_TLS_FAILED);
    CHECK(stranger.why == "self-signed certificate");
    CHECK(daemon.logs("event=connect-failed code=TCP_ERR_TLS_FAILED error=\"self-signed certificate\""));
}

TEST_CASE("a peer without TLS fails the connect, and a port where nobody listens does as without TLS")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const PeerListener listener;
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    REQUIRE(client.begin_connect(context, listener.port()) == 0);
    const Peer peer = listener.accept();
    peer.send("220 hello, this is no TLS\r\n");
    const Completed failed = client.next();
    CHECK(failed.result == TCP_ERR_TLS_FAILED);
    CHECK(failed.why == "wrong version number");

    const Completed refused = client.connect(context, free_port());
    CHECK(refused.result == TCP_ERR_CONNECT_FAILED);
    CHECK(refused.os_error == ECONNREFUSED);
    CHECK(refused.why.empty());
}

TEST_CASE("a handshake that does not end has the limit of its connect")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const PeerListener listener;
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    REQUIRE(client.begin_connect(context, listener.port(), "oche.test", false, 50) == 0);
    const Peer silent = listener.accept();
    CHECK(client.next().result == TCP_ERR_TIMED_OUT);
    silent.receive(5);
    CHECK(silent.end() != End::none);
}

TEST_CASE("what is wrong with a context is said")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    auto options = sized<oche_tls_options>();
    options.trust = OCHE_TLS_TRUST_OWN;
    options.roots = "nonsense";
    options.roots_length = 8;
    const Completed failed = client.make(options);
    CHECK(failed.result == TCP_ERR_INVALID_ARGUMENT);
    CHECK(failed.why == "the trusted roots are no certificates in PEM");

    CHECK(client.connect(client.trusting(identity.certificate), free_port()).result == TCP_ERR_CONNECT_FAILED);
    const int64_t context = client.trusting(identity.certificate);
    REQUIRE(oche_close(client.get(), CLOSE, context) == 0);
    CHECK(client.next().result == 0);
    CHECK(client.begin_connect(context, 9) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("the end of a stream with TLS is told as an end, and one without close_notify as a failure")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    const int64_t context = client.trusting(identity.certificate);
    {
        const Server server(identity);
        const Completed connected = client.connect(context, server.port());
        REQUIRE(connected.result > 0);
        REQUIRE(oche_close_write(client.get(), CLOSE_WRITE, connected.result) == 0);
        CHECK(client.next().result == 0);
        REQUIRE(oche_read(client.get(), READ, connected.result) == 0);
        CHECK(client.next().result == TCP_ERR_CLOSED); // the server answers an end with its own
    }
    int64_t handle;
    {
        const Server server(identity);
        const Completed connected = client.connect(context, server.port());
        REQUIRE(connected.result > 0);
        handle = connected.result;
        REQUIRE(oche_write(client.get(), WRITE, handle, "x\n", 2) == 0);
        CHECK(client.next().result == 2);
        CHECK(client.read_until(handle, '\n') == "x\n");
        REQUIRE(oche_read(client.get(), READ, handle) == 0);
        // and the server is killed
    }
    const Completed failed = client.next();
    CHECK(failed.result == TCP_ERR_READ_FAILED);
    CHECK(failed.os_error == EPROTO);
}

TEST_CASE("a connect that asks is told what is wrong with the certificate, and goes on if it is trusted all the same")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const Server server(identity);
    Client client;
    auto nobody = sized<oche_tls_options>();
    nobody.trust = OCHE_TLS_TRUST_NOBODY;
    const int64_t context = client.make(nobody).result;
    const Completed asked = client.connect(context, server.port(), "oche.test", true);
    REQUIRE(asked.result > 0);
    CHECK(asked.why == "self-signed certificate");
    CHECK(client.info(asked.result, OCHE_TLS_VERIFICATION) == "self-signed certificate");
    CHECK(client.info(asked.result, OCHE_TLS_SUBJECT) == "/CN=oche.test");
    CHECK(client.info(asked.result, OCHE_TLS_CHAIN).size() > 100);
    // Until then it is no connection.
    CHECK(oche_read(client.get(), READ, asked.result) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(oche_write(client.get(), WRITE, asked.result, "x", 1) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(client.trust(asked.result).result == 0);
    CHECK(oche_trust(client.get(), TRUST, asked.result) == TCP_ERR_INVALID_ARGUMENT);
    client.write(asked.result, "drawkcab\n");
    CHECK(client.read_until(asked.result, '\n') == "backward\n");
    client.close(asked.result);

    // Who does not trust it closes it, and has sent nothing.
    const Completed again = client.connect(context, server.port(), "oche.test", true);
    CHECK(again.why == "self-signed certificate");
    client.close(again.result);

    // Who need not be asked is not.
    const Completed trusted = client.connect(client.trusting(identity.certificate), server.port(), "oche.test", true);
    CHECK(trusted.result > 0);
    CHECK(trusted.why.empty());
}

TEST_CASE("a peer that is gone while somebody thinks about its certificate is told when the handshake goes on")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    auto nobody = sized<oche_tls_options>();
    nobody.trust = OCHE_TLS_TRUST_NOBODY;
    nobody.version_max = OCHE_TLS_1_2; // in 1.3 the server has said everything before
    const int64_t context = client.make(nobody).result;
    auto server = std::make_unique<Server>(identity);
    const Completed asked = client.connect(context, server->port(), "oche.test", true);
    REQUIRE(asked.result > 0);
    server.reset();
    const Completed failed = client.trust(asked.result);
    CHECK(failed.result == TCP_ERR_TLS_FAILED);
    CHECK_FALSE(failed.why.empty());
    CHECK(oche_read(client.get(), READ, asked.result) == 0);
    CHECK(client.next().result == TCP_ERR_READ_FAILED);
    client.close(asked.result);
}

TEST_CASE("what was negotiated can be asked about")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    Client client;
    const std::string roots = contents_of(identity.certificate);
    auto options = sized<oche_tls_options>();
    options.trust = OCHE_TLS_TRUST_OWN;
    options.roots = roots.data();
    options.roots_length = roots.size();
    options.protocols = reinterpret_cast<const uint8_t *>("\x02h2\x08http/1.1");
    options.protocols_length = 12;
    options.suites = "TLS_AES_128_GCM_SHA256";
    options.groups = "P-384";
    const int64_t context = client.make(options).result;
    Completed serving;
    client.with(identity, "", [&](oche_tls_options of_server) {
        of_server.protocols = reinterpret_cast<const uint8_t *>("\x08http/1.1");
        of_server.protocols_length = 9;
        serving = client.make(of_server);
    });
    const int64_t listener = client.listen(serving.result);
    const auto [server, peer] = client.meet(listener, context);
    for (const int64_t end : {server, peer}) {
        CHECK(oche_get_no_delay(client.get(), end) == 1); // so that nothing waits behind session tickets
        CHECK(client.info(end, OCHE_TLS_VERSION) == "TLSv1.3");
        CHECK(client.info(end, OCHE_TLS_CIPHER) == "TLS_AES_128_GCM_SHA256");
        CHECK(client.info(end, OCHE_TLS_GROUP) == "secp384r1");
        CHECK(client.info(end, OCHE_TLS_PROTOCOL) == "http/1.1");
        CHECK(client.info(end, OCHE_TLS_SERVER_NAME) == "oche.test");
        CHECK(client.info(end, OCHE_TLS_RESUMED).empty());
        CHECK(client.info(end, OCHE_TLS_VERIFICATION).empty());
        CHECK(client.info(end, OCHE_TLS_FAILURE).empty());
    }
    CHECK(client.info(peer, OCHE_TLS_CHAIN) == client.info(server, OCHE_TLS_OWN_CERTIFICATE));
    CHECK(client.info(server, OCHE_TLS_CHAIN).empty());
    CHECK(client.info(peer, OCHE_TLS_SUBJECT) == "/CN=oche.test");
    CHECK(client.info(peer, OCHE_TLS_ISSUER) == "/CN=oche.test");
    CHECK(client.info(peer, OCHE_TLS_SHA1).size() == 20);
    long long from = 0;
    long long until = 0;
    CHECK(sscanf(client.info(peer, OCHE_TLS_VALIDITY).c_str(), "%lld %lld", &from, &until) == 2);
    CHECK(from <= time(nullptr));
    CHECK(until > time(nullptr));

    REQUIRE(oche_tls_info(client.get(), INFO, client.connect(0, client.port_of(listener), nullptr).result,
                          OCHE_TLS_VERSION) == 0);
    CHECK(client.next().result == TCP_ERR_INVALID_ARGUMENT);
    CHECK(oche_tls_info(client.get(), INFO, peer, static_cast<oche_tls_item>(99)) == TCP_ERR_INVALID_ARGUMENT);
    CHECK(oche_tls_info(client.get(), INFO, listener, OCHE_TLS_VERSION) == TCP_ERR_INVALID_HANDLE);
}

TEST_CASE("a context takes a PKCS#12 with a passphrase")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    const std::string path = daemon.place().path("both.p12");
    ProcessOptions process;
    process.arguments = {openssl,    "pkcs12",      "-export", "-in", identity.certificate, "-inkey", identity.key,
                         "-passout", "pass:secret", "-out",    path};
    REQUIRE(run(process).status == 0);
    const std::string archive = contents_of(path);
    Client client;
    const oche_tls_identity both{nullptr, 0, archive.data(), archive.size(), "secret"};
    auto options = sized<oche_tls_options>();
    options.trust = OCHE_TLS_TRUST_NOBODY;
    options.identities = &both;
    options.identity_count = 1;
    const Completed made = client.make(options);
    INFO(made.why);
    REQUIRE(made.result > 0);
    client.meet(client.listen(made.result), client.trusting(identity.certificate));
}

TEST_CASE("a context counts as several sockets of the user, until it is closed")
{
    NEEDS_OPENSSL()
    const Daemon daemon({{"--user-max-handles", "120"}});
    const Identity identity(daemon.place());
    Client client;
    const auto used = [&] {
        auto statistics = sized<oche_statistics>();
        REQUIRE(oche_get_statistics(client.get(), 99, &statistics) == 0);
        REQUIRE(client.next().result == 0);
        return statistics.user_handles.used;
    };
    const int64_t first = client.being(identity);
    CHECK(used() == 32);
    client.being(identity);
    client.being(identity);
    Completed refused;
    client.with(identity, "", [&](const oche_tls_options &options) { refused = client.make(options); });
    CHECK(refused.result == TCP_ERR_QUOTA);
    CHECK(used() == 96);

    // What replaces it counts instead; for a moment there are both.
    const std::string roots = contents_of(identity.certificate);
    auto smaller = sized<oche_tls_options>();
    smaller.trust = OCHE_TLS_TRUST_OWN;
    smaller.roots = roots.data();
    smaller.roots_length = roots.size();
    REQUIRE(oche_tls_replace(client.get(), REPLACE, first, &smaller) == 0);
    CHECK(client.next().result == 0);
    CHECK(used() == 80);
    client.close(first);
    CHECK(used() == 64);
    CHECK(daemon.logs("event=quota"));
}
