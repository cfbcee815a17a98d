// TLS as a filter: both roles in one loop, against each other and against peers that misbehave.

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/tls/tls_stream.h"
}

#include "tests/unit/daemon/stream/ends.h"
#include "tests/unit/daemon/tls/authority.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <openssl/ssl.h>
#include <string>
#include <utility>

using namespace test_support;

namespace
{

using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

void read_pem(const std::string &text, std::function<void(BIO *)> read)
{
    BIO *bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
    read(bio);
    BIO_free(bio);
}

// A server and a client that trusts it.
struct Contexts {
    Context server{SSL_CTX_new(TLS_server_method())};
    Context client{SSL_CTX_new(TLS_client_method())};

    Contexts()
    {
        const Issued issued({"DNS:oche.test"});
        read_pem(issued.certificate(), [&](BIO *bio) {
            const Certificate certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
            REQUIRE(SSL_CTX_use_certificate(server.get(), certificate.get()) == 1);
            X509_STORE_add_cert(SSL_CTX_get_cert_store(client.get()), certificate.get());
        });
        read_pem(issued.key(), [&](BIO *bio) {
            const Key key(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr));
            REQUIRE(SSL_CTX_use_PrivateKey(server.get(), key.get()) == 1);
        });
        SSL_CTX_set_verify(client.get(), SSL_VERIFY_PEER, nullptr);
    }
};

const Contexts &contexts()
{
    static const Contexts made;
    return made;
}

// The filter of a role, for End::put_on().
auto tls(const Context &context, tls_role role)
{
    return [&context, role](stream *below, time_slice *slice) {
        stream *made = tls_stream_new(below, slice, SSL_new(context.get()), role);
        REQUIRE(made);
        return made;
    };
}

// `one` is the server, and the handshake is done unless it fails.
struct Secured : Connected {
    explicit Secured(engine_method method) : Connected(method)
    {
        one.put_on(tls(contexts().server, TLS_SERVER));
        other.put_on(tls(contexts().client, TLS_CLIENT));
        one.is_done = other.is_done = [this] { return one.opened <= 0 && other.opened <= 0; };
        loop.run();
        CHECK(one.opened == 0);
        CHECK(other.opened == 0);
    }
    void run_until(std::function<bool()> is_done)
    {
        one.is_done = other.is_done = std::move(is_done);
        loop.run();
    }
};

// What a peer without TLS sends.
void send_raw(const End &end, const std::string &bytes)
{
    const ssize_t sent = send(engine_socket_fd(end.lowest.socket), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    REQUIRE(sent == static_cast<ssize_t>(bytes.size()));
}

} // namespace

TEST_CASE("bytes go both ways through TLS, and come as they were sent")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    // Many records of the largest size, and room for a few bytes at a time.
    const std::string there = a_text(300'000);
    const std::string back = a_text(70'001);
    ends.one.send(there);
    ends.other.send(back);
    stream_receive(ends.one.top);
    stream_receive(ends.other.top);
    ends.run_until(
        [&] { return ends.other.received.size() >= there.size() && ends.one.received.size() >= back.size(); });
    CHECK(ends.other.received == there);
    CHECK(ends.one.received == back);
    CHECK(std::string(SSL_get_version(tls_stream_ssl(ends.one.top))) == "TLSv1.3");
    CHECK(std::string(tls_stream_failure(ends.one.top)).empty());
}

TEST_CASE("what lies on the wire is not what was sent")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(tls(contexts().client, TLS_CLIENT));
    stream_receive(ends.other.top);
    ends.other.is_done = [&] { return ends.other.received.size() >= 5; };
    ends.loop.run();
    CHECK(ends.other.received.substr(0, 2) == std::string("\x16\x03", 2)); // a handshake record
}

TEST_CASE("the end of one direction is a close_notify, and the other direction goes on")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    ends.other.send("the last words");
    stream_receive(ends.one.top);
    ends.run_until([&] { return ends.one.received.size() == 14; });
    REQUIRE(stream_shut_down(ends.other.top) == 0);
    ends.run_until([&] { return ends.one.last <= 0; });
    CHECK(ends.one.last == 0);

    ends.one.send("an answer");
    stream_receive(ends.other.top);
    ends.run_until([&] { return ends.other.received.size() == 9; });
    CHECK(ends.other.received == "an answer");
}

TEST_CASE("a connection that ends without close_notify is no end of the stream")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    stream_receive(ends.one.top);
    REQUIRE(engine_socket_shut_down(ends.other.lowest.socket, SHUT_WR) == 0);
    ends.run_until([&] { return ends.one.last <= 0; });
    CHECK(ends.one.last == -EPROTO);
    CHECK(std::string(tls_stream_failure(ends.one.top)).find("without close_notify") != std::string::npos);
}

TEST_CASE("a reset is told with its errno")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    stream_receive(ends.one.top);
    stream_close(std::exchange(ends.other.top, nullptr), STREAM_END_RESET);
    ends.run_until([&] { return ends.one.last <= 0; });
    CHECK(ends.one.last == -ECONNRESET);
}

TEST_CASE("a peer that speaks no TLS fails the handshake, and is told so")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(tls(contexts().server, TLS_SERVER));
    send_raw(ends.other, "GET / HTTP/1.1\r\nHost: oche.test\r\n\r\n");
    stream_receive(ends.other.top);
    ends.one.is_done = [&] { return ends.one.opened <= 0; };
    ends.loop.run();
    CHECK(ends.one.opened == -EPROTO);
    CHECK(std::string(tls_stream_failure(ends.one.top)) == "http request");
}

TEST_CASE("a certificate that nobody trusts fails the handshake of both sides, and the client says why")
{
    WITH_EACH_METHOD()
    const Context trusting_nobody(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_verify(trusting_nobody.get(), SSL_VERIFY_PEER, nullptr);
    Connected ends(method);
    ends.one.put_on(tls(contexts().server, TLS_SERVER));
    ends.other.put_on(tls(trusting_nobody, TLS_CLIENT));
    ends.one.is_done = ends.other.is_done = [&] { return ends.other.opened <= 0; };
    ends.loop.run();
    CHECK(ends.other.opened == -EPROTO);
    CHECK(std::string(tls_stream_failure(ends.other.top)).find("self-signed") != std::string::npos);

    ends.one.is_done = [&] { return ends.one.opened < 0 || ends.one.last < 0; };
    stream_receive(ends.one.top); // in TLS 1.3 the server may have been done
    if (ends.one.opened != -EPROTO) {
        ends.loop.run();
    }
    CHECK(std::string(tls_stream_failure(ends.one.top)).find("unknown ca") != std::string::npos);
}

TEST_CASE("a peer that ends the connection in the handshake fails it")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    ends.one.put_on(tls(contexts().server, TLS_SERVER));
    stream_close(std::exchange(ends.other.top, nullptr), STREAM_END_CLOSE);
    ends.one.is_done = [&] { return ends.one.opened <= 0; };
    ends.loop.run();
    CHECK(ends.one.opened == -EPROTO);
    CHECK(std::string(tls_stream_failure(ends.one.top)).find("ended the connection") != std::string::npos);
}

TEST_CASE("garbage behind the handshake ends what is received")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    send_raw(ends.other, std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
    stream_receive(ends.one.top);
    ends.run_until([&] { return ends.one.last <= 0; });
    CHECK(ends.one.last == -EPROTO);
    CHECK_FALSE(std::string(tls_stream_failure(ends.one.top)).empty());
}

TEST_CASE("what was read too early is given back, and TLS that is put on then begins with it")
{
    WITH_EACH_METHOD()
    Connected ends(method);
    // As with STARTTLS, by a client that does not wait for the answer.
    send_raw(ends.other, "STARTTLS");
    ends.other.put_on(tls(contexts().client, TLS_CLIENT));
    ends.one.reads_on = false;
    ends.one.is_done = [] { return true; };
    while (ends.one.received.size() <= 8) {
        stream_receive(ends.one.top);
        ends.loop.run();
    }
    const std::string early = ends.one.received.substr(8);
    REQUIRE(stream_push_back(ends.one.top, early.data(), early.size()) == 0);
    ends.one.put_on(tls(contexts().server, TLS_SERVER));
    ends.one.is_done = ends.other.is_done = [&] { return ends.one.opened <= 0 && ends.other.opened <= 0; };
    ends.loop.run();
    CHECK(ends.one.opened == 0);
    CHECK(ends.other.opened == 0);
}

TEST_CASE("an owner without room gets what has come when there is room again")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    ends.one.has_room = false;
    ends.other.send("some words");
    stream_receive(ends.one.top);
    ends.run_until([&] { return ends.other.sent == 10; });
    ends.loop.run_a_little();
    CHECK(ends.one.received.empty());
    ends.one.has_room = true;
    stream_receive_retry(ends.one.top);
    ends.run_until([&] { return ends.one.received.size() == 10; });
    CHECK(ends.one.received == "some words");
}

TEST_CASE("decrypted bytes that are given back come again, before what follows")
{
    WITH_EACH_METHOD()
    Secured ends(method);
    ends.one.reads_on = false;
    ends.other.send("onetwo");
    stream_receive(ends.one.top);
    ends.run_until([&] { return ends.one.received.size() == 5; });
    REQUIRE(stream_push_back(ends.one.top, "etw", 3) == 0);
    REQUIRE(stream_push_back(ends.one.top, "on", 2) == 0);
    ends.one.received.clear();
    ends.one.reads_on = true;
    stream_receive(ends.one.top);
    ends.run_until([&] { return ends.one.received.size() == 6; });
    CHECK(ends.one.received == "onetwo");
}
