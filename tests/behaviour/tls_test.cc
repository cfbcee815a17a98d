// TLS: contexts, and connects to OpenSSL's own server.
#include <catch2/catch.hpp>

#include <cerrno>
#include <fcntl.h>
#include <future>
#include <unistd.h>

#include "oche/oche.h"
#include "oche/tcp_socket.h"
#include "tests/support/client_session.h"
#include "tests/support/process.h"
#include "tests/support/sized.h"
#include "tests/support/skip.h"
#include "tests/support/successor.h"

using namespace test_support;

namespace
{
enum { CONTEXT = 1, CONNECT, WRITE, READ, CLOSE, CLOSE_WRITE, LISTEN, ACCEPT, SECURE, TRUST, INFO, REPLACE };

const char *const openssl = "/usr/bin/openssl";

// A certificate for oche.test and 127.0.0.1 that is signed by itself, and its key, in files.
struct Identity {
    std::string key;
    std::string certificate;

    explicit Identity(const Place &place, const std::string &name = "oche.test")
        : key(place.path(name + ".key")), certificate(place.path(name + ".pem"))
    {
        ProcessOptions options;
        options.arguments = {openssl,
                             "req",
                             "-x509",
                             "-newkey",
                             "ec",
                             "-pkeyopt",
                             "ec_paramgen_curve:P-256",
                             "-nodes",
                             "-keyout",
                             key,
                             "-out",
                             certificate,
                             "-subj",
                             "/CN=" + name,
                             "-addext",
                             "subjectAltName=DNS:oche.test,IP:127.0.0.1"};
        const ProcessResult made = run(options);
        INFO(made.error);
        REQUIRE(made.status == 0);
    }
};

// OpenSSL's server, which sends back each line, backwards.
class Server
{
  public:
    Server(const Identity &identity, const std::vector<std::string> &more = {}) : port_(free_port())
    {
        ProcessOptions options;
        options.arguments = {openssl,  "s_server",  "-accept", "127.0.0.1:" + std::to_string(port_),
                             "-quiet", "-rev",      "-cert",   identity.certificate,
                             "-key",   identity.key};
        options.arguments.insert(options.arguments.end(), more.begin(), more.end());
        const Descriptor nowhere(open("/dev/null", O_WRONLY | O_CLOEXEC));
        options.output = options.error = nowhere.get(); // it has much to say
        process_ = std::make_unique<Process>(options);
        REQUIRE(eventually([&] {
            try {
                Peer::connect({loopback4(), port_});
                return true;
            } catch (const std::exception &) {
                return false;
            }
        }));
    }
    uint16_t port() const
    {
        return port_;
    }

  private:
    uint16_t port_;
    std::unique_ptr<Process> process_;
};

struct Client : ClientSession {
    Completed make(const oche_tls_options &options)
    {
        REQUIRE(oche_tls_context(get(), CONTEXT, &options) == 0);
        return next();
    }
    // One that trusts what is in the file alone.
    int64_t trusting(const std::string &path)
    {
        const std::string roots = contents_of(path);
        auto options = sized<oche_tls_options>();
        options.trust = OCHE_TLS_TRUST_OWN;
        options.roots = roots.data();
        options.roots_length = roots.size();
        const Completed made = make(options);
        REQUIRE(made.result > 0);
        return made.result;
    }
    Completed connect(int64_t context, uint16_t port, const char *name = "oche.test", bool asks = false)
    {
        const Address address = loopback4();
        auto options = sized<oche_connect_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.port = port;
        options.tls_context = context;
        options.server_name = name;
        options.tls_asks = asks;
        REQUIRE(oche_connect(get(), CONNECT, &options) == 0);
        return next();
    }
    // What there is with the certificate of the files. `clients`: those whose certificates it wants, in a file.
    template <typename Use> void with(const Identity &identity, const std::string &clients, Use use)
    {
        const std::string chain = contents_of(identity.certificate);
        const std::string key = contents_of(identity.key);
        const std::string roots = clients.empty() ? "" : contents_of(clients);
        const oche_tls_identity shown{chain.data(), chain.size(), key.data(), key.size(), nullptr};
        auto options = sized<oche_tls_options>();
        options.trust = clients.empty() ? OCHE_TLS_TRUST_NOBODY : OCHE_TLS_TRUST_OWN;
        options.roots = roots.data();
        options.roots_length = roots.size();
        options.client_certificate = clients.empty() ? OCHE_TLS_CLIENT_NOT_ASKED : OCHE_TLS_CLIENT_MUST_SHOW;
        options.identities = &shown;
        options.identity_count = 1;
        use(options);
    }
    int64_t being(const Identity &identity, const std::string &clients = "")
    {
        Completed made;
        with(identity, clients, [&](const oche_tls_options &options) { made = make(options); });
        INFO(made.why);
        REQUIRE(made.result > 0);
        return made.result;
    }
    Completed trust(int64_t handle)
    {
        REQUIRE(oche_trust(get(), TRUST, handle) == 0);
        return next();
    }
    std::string info(int64_t handle, oche_tls_item item)
    {
        REQUIRE(oche_tls_info(get(), INFO, handle, item) == 0);
        const Completed told = next();
        REQUIRE(told.result >= 0);
        return told.text();
    }
    // Both ends of a connection with TLS of the listener: the server's, and the client's.
    std::pair<int64_t, int64_t> meet(int64_t listener, int64_t context, const char *name = "oche.test")
    {
        REQUIRE(oche_accept(get(), ACCEPT, listener) == 0);
        const Address address = loopback4();
        auto options = sized<oche_connect_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.port = port_of(listener);
        options.tls_context = context;
        options.server_name = name;
        REQUIRE(oche_connect(get(), CONNECT, &options) == 0);
        const Completed one = next();
        const Completed other = next();
        INFO(one.why << other.why);
        REQUIRE(one.result > 0);
        REQUIRE(other.result > 0);
        return one.request_id == ACCEPT ? std::make_pair(one.result, other.result)
                                        : std::make_pair(other.result, one.result);
    }
    int64_t listen(int64_t context)
    {
        const Address address = loopback4();
        auto options = sized<oche_listen_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.tls_context = context; // 0: without TLS
        REQUIRE(oche_listen(get(), LISTEN, &options) == 0);
        const Completed listening = next();
        REQUIRE(listening.result > 0);
        return listening.result;
    }
    uint16_t port_of(int64_t handle)
    {
        auto endpoint = sized<oche_endpoint>();
        REQUIRE(oche_get_local(get(), handle, &endpoint) == 0);
        return endpoint.port;
    }
    void write(int64_t handle, const std::string &bytes)
    {
        REQUIRE(oche_write(get(), WRITE, handle, bytes.data(), bytes.size()) == 0);
        REQUIRE(next().result == static_cast<int64_t>(bytes.size()));
    }
    // Begins to put TLS on the connection; as a server without a name.
    int64_t secure(int64_t handle, int64_t context, const char *name, const std::string &unread = "")
    {
        auto options = sized<oche_secure_options>();
        options.tls_context = context;
        options.server_name = name;
        options.unread = unread.data();
        options.unread_length = unread.size();
        return oche_secure(get(), SECURE, handle, &options);
    }
    void close(int64_t handle)
    {
        REQUIRE(oche_close(get(), CLOSE, handle) == 0);
        REQUIRE(next().result == 0);
    }
    std::string read_until(int64_t handle, char last)
    {
        std::string all;
        while (all.empty() || all.back() != last) {
            REQUIRE(oche_read(get(), READ, handle) == 0);
            const Completed read = next();
            INFO(read.result);
            REQUIRE(read.result > 0);
            all += read.text();
        }
        return all;
    }
};

#define NEEDS_OPENSSL()                                                                                                \
    if (access(openssl, X_OK) != 0) {                                                                                  \
        SKIP("there is no openssl here");                                                                              \
    }
} // namespace

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
    const Address address = loopback4();
    auto options = sized<oche_connect_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.port = listener.port();
    options.tls_context = context;
    options.server_name = "oche.test";
    REQUIRE(oche_connect(client.get(), CONNECT, &options) == 0);
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
    const Address address = loopback4();
    auto options = sized<oche_connect_options>();
    options.address = address.data();
    options.address_length = address.size();
    options.port = listener.port();
    options.tls_context = context;
    options.server_name = "oche.test";
    options.timeout_ms = 50;
    REQUIRE(oche_connect(client.get(), CONNECT, &options) == 0);
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
    auto target = sized<oche_connect_options>();
    const Address address = loopback4();
    target.address = address.data();
    target.address_length = address.size();
    target.port = 9;
    target.tls_context = context;
    target.server_name = "oche.test";
    CHECK(oche_connect(client.get(), CONNECT, &target) == TCP_ERR_INVALID_HANDLE);
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
        const Address address = loopback4();
        auto options = sized<oche_connect_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.port = server.port_of(listener);
        options.tls_context = context;
        options.server_name = "oche.test";
        REQUIRE(oche_connect(client.get(), CONNECT, &options) == 0);
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
        const Address address = loopback4();
        auto options = sized<oche_connect_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.port = server.port_of(listener);
        REQUIRE(oche_connect(client.get(), CONNECT, &options) == 0);
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

    auto options = sized<oche_connect_options>();
    const Address address = loopback4();
    options.address = address.data();
    options.address_length = address.size();
    options.port = client.port_of(plain);
    options.tls_context = context;
    options.server_name = "oche.test";
    CHECK(oche_connect(client.get(), CONNECT, &options) == TCP_ERR_INVALID_HANDLE);
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
