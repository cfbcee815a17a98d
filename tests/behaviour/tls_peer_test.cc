// Peers that are played, byte by byte: whatever they do in a handshake or behind it, others are served as before.
#include <catch2/catch.hpp>

#include <cerrno>
#include <memory>
#include <openssl/ssl.h>
#include <vector>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/tls.h"

using namespace test_support;
using namespace test_support::tls;

namespace
{
struct ContextFreer {
    void operator()(SSL_CTX *context) const
    {
        SSL_CTX_free(context);
    }
};
struct SslFreer {
    void operator()(SSL *ssl) const
    {
        SSL_free(ssl);
    }
};

// A client of OpenSSL, whose bytes the test sends as it likes.
class PlayedClient
{
  public:
    explicit PlayedClient(const Endpoint &to)
        : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_.get())), in_(BIO_new(BIO_s_mem())),
          out_(BIO_new(BIO_s_mem())), peer_(Peer::connect(to))
    {
        SSL_set_bio(ssl_.get(), in_, out_);
        SSL_set_connect_state(ssl_.get());
        SSL_do_handshake(ssl_.get());
    }
    // What it has to say now.
    std::string flight()
    {
        char *data = nullptr;
        const long size = BIO_get_mem_data(out_, &data);
        std::string bytes(data, static_cast<size_t>(size));
        BIO_reset(out_);
        return bytes;
    }
    // Takes what comes until the handshake is done on this side; there is a last flight then.
    void finish()
    {
        while (SSL_do_handshake(ssl_.get()) != 1) {
            const std::string byte = peer_.receive(1);
            REQUIRE(byte.size() == 1);
            BIO_write(in_, byte.data(), 1);
        }
    }
    // The end of the stream, as TLS says it.
    std::string farewell()
    {
        SSL_shutdown(ssl_.get());
        return flight();
    }
    std::string encrypted(const std::string &text)
    {
        REQUIRE(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) > 0);
        return flight();
    }
    Peer &peer()
    {
        return peer_;
    }

  private:
    std::unique_ptr<SSL_CTX, ContextFreer> context_;
    std::unique_ptr<SSL, SslFreer> ssl_;
    BIO *in_;
    BIO *out_;
    Peer peer_;
};

// A server of the daemon.
struct PlayedServer : Client {
    int64_t listener;

    explicit PlayedServer(const Identity &identity) : listener(listen(being(identity)))
    {
    }
    // A played client and its connection here, with the handshake done.
    int64_t meet(PlayedClient &client)
    {
        REQUIRE(oche_accept(get(), ACCEPT, listener) == 0);
        client.peer().send(client.flight());
        client.finish();
        client.peer().send(client.flight());
        const Completed accepted = next();
        REQUIRE(accepted.result > 0);
        return accepted.result;
    }
    Endpoint at()
    {
        return {loopback4(), port_of(listener)};
    }
};

bool is_odd(size_t number)
{
    return number % 2 != 0;
}
} // namespace

TEST_CASE("a peer that vanishes at any byte of a handshake holds up nobody")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    REQUIRE(oche_accept(server.get(), ACCEPT, server.listener) == 0);
    const size_t first = PlayedClient(server.at()).flight().size();
    for (size_t sent = 0; sent <= first; sent += 11) {
        PlayedClient client(server.at());
        client.peer().send(client.flight().substr(0, sent));
        if (is_odd(sent)) {
            client.peer().reset();
        }
    }
    size_t last = 1;
    for (size_t sent = 0; sent < last; sent += 7) {
        PlayedClient client(server.at());
        client.peer().send(client.flight());
        client.finish();
        const std::string flight = client.flight();
        last = flight.size();
        client.peer().send(flight.substr(0, sent));
        if (is_odd(sent)) {
            client.peer().reset();
        }
    }
    CHECK(server.is_quiet());

    PlayedClient whole(server.at());
    for (const char byte : whole.flight()) {
        whole.peer().send(std::string(1, byte));
    }
    whole.finish();
    for (const char byte : whole.flight() + whole.encrypted("hello")) {
        whole.peer().send(std::string(1, byte));
    }
    const Completed accepted = server.next();
    REQUIRE(accepted.result > 0);
    CHECK(server.read_until(accepted.result, 'o') == "hello");
}

TEST_CASE("a handshake with a byte that is wrong fails, wherever that is, and the peer is told")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    REQUIRE(oche_accept(server.get(), ACCEPT, server.listener) == 0);
    size_t last = 1;
    for (size_t at = 0; at < last; at += 5) {
        PlayedClient client(server.at());
        client.peer().send(client.flight());
        client.finish();
        std::string flight = client.flight();
        last = flight.size();
        flight[at] = static_cast<char>(flight[at] ^ 0x55);
        client.peer().send(flight + std::string(0x5500, 'x')); // for a length that is too large now
        CHECK(client.peer().end() != End::none);
    }
    CHECK(server.is_quiet());
    PlayedClient whole(server.at());
    whole.peer().send(whole.flight());
    whole.finish();
    whole.peer().send(whole.flight());
    CHECK(server.next().result > 0);
}

TEST_CASE("a record that lies ends its connection, and no other")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    const std::string lies[] = {
        std::string("\x17\x03\x03\xff\xff", 5) + std::string(200, 'x'), // longer than a record can be
        std::string("\x17\x03\x03\x00\x30", 5) + std::string(48, 'x'),  // not encrypted with the key
        std::string("\x17\x03\x03\x00\x00", 5),                         // empty
        "GET / HTTP/1.0\r\n\r\n",
        std::string("\x15\x03\x03\x00\x02\x01\x00", 7), // an alert that is not encrypted
    };
    for (const std::string &lie : lies) {
        REQUIRE(oche_accept(server.get(), ACCEPT, server.listener) == 0);
        PlayedClient client(server.at());
        client.peer().send(client.flight());
        client.finish();
        client.peer().send(client.flight() + client.encrypted("truth"));
        const Completed accepted = server.next();
        REQUIRE(accepted.result > 0);
        CHECK(server.read_until(accepted.result, 'h') == "truth");
        REQUIRE(oche_read(server.get(), READ, accepted.result) == 0);
        client.peer().send(lie);
        const Completed read = server.next();
        CHECK(read.result == TCP_ERR_READ_FAILED);
        CHECK(read.os_error == EPROTO);
        CHECK_FALSE(server.info(accepted.result, OCHE_TLS_FAILURE).empty());
        server.close(accepted.result);
    }
}

TEST_CASE("the end of a stream is told though it has come together with the last bytes, and the connection stays open")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    PlayedClient client(server.at());
    const int64_t connection = server.meet(client);
    const std::string last = client.encrypted("last");
    client.peer().send(last + client.farewell());
    CHECK(server.read_until(connection, 't') == "last");
    REQUIRE(oche_read(server.get(), READ, connection) == 0);
    CHECK(server.next().result == TCP_ERR_CLOSED);
    server.write(connection, "answer");
    server.close(connection);
}

TEST_CASE("a write on a connection that has broken fails")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    PlayedClient client(server.at());
    const int64_t connection = server.meet(client);
    REQUIRE(oche_read(server.get(), READ, connection) == 0);
    client.peer().reset();
    const Completed read = server.next();
    CHECK(read.result == TCP_ERR_READ_FAILED);
    CHECK(read.os_error == ECONNRESET);
    REQUIRE(oche_write(server.get(), WRITE, connection, "x", 1) == 0);
    CHECK(server.next().result == TCP_ERR_WRITE_FAILED);
    server.close(connection);
}

TEST_CASE("a listener that is closed with force drops the handshakes that are under way")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    REQUIRE(oche_accept(server.get(), ACCEPT, server.listener) == 0);
    std::vector<std::unique_ptr<PlayedClient>> clients;
    for (int i = 0; i < 5; i++) {
        clients.push_back(std::make_unique<PlayedClient>(server.at()));
        clients.back()->peer().send(clients.back()->flight());
        clients.back()->finish(); // the server waits for the last flight
    }
    REQUIRE(oche_listener_close(server.get(), CLOSE, server.listener, true) == 0);
    CHECK(server.next().result == TCP_ERR_CLOSED);
    CHECK(server.next().result == 0);
    for (const auto &client : clients) {
        CHECK(client->peer().end() != End::none);
    }
}

TEST_CASE("peers that begin a handshake and do not go on shut nobody out, however many there are")
{
    NEEDS_OPENSSL()
    const Daemon daemon;
    const Identity identity(daemon.place());
    PlayedServer server(identity);
    REQUIRE(oche_accept(server.get(), ACCEPT, server.listener) == 0);
    const size_t before = daemon.descriptor_count();
    std::vector<Peer> silent;
    for (int i = 0; i < 300; i++) { // a listener has 256 at a time
        silent.push_back(Peer::connect(server.at()));
    }
    PlayedClient client(server.at());
    client.peer().send(client.flight());
    client.finish();
    client.peer().send(client.flight());
    CHECK(server.next().result > 0);
    CHECK(daemon.descriptor_count() <= before + 256 + 1); // the oldest have made place
}
