// Clients with TLS, and what OpenSSL's own programs do against them.
#pragma once

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "oche/oche.h"
#include "tests/support/client_session.h"
#include "tests/support/daemon.h"
#include "tests/support/peer.h"
#include "tests/support/process.h"
#include "tests/support/sized.h"
#include "tests/support/skip.h"

namespace test_support
{
namespace tls
{
enum { CONTEXT = 1, CONNECT, WRITE, READ, CLOSE, CLOSE_WRITE, LISTEN, ACCEPT, SECURE, TRUST, INFO, REPLACE };

inline const char *const openssl = "/usr/bin/openssl";

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
    // What the call itself says; then it completes, in so many milliseconds if that is not 0.
    int64_t begin_connect(int64_t context, uint16_t port, const char *name = "oche.test", bool asks = false,
                          uint32_t limit_ms = 0)
    {
        const Address address = loopback4();
        auto options = sized<oche_connect_options>();
        options.address = address.data();
        options.address_length = address.size();
        options.port = port;
        options.timeout_ms = limit_ms;
        options.tls_context = context;
        options.server_name = name;
        options.tls_asks = asks;
        return oche_connect(get(), CONNECT, &options);
    }
    Completed connect(int64_t context, uint16_t port, const char *name = "oche.test", bool asks = false)
    {
        REQUIRE(begin_connect(context, port, name, asks) == 0);
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
        REQUIRE(begin_connect(context, port_of(listener), name) == 0);
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
} // namespace tls
} // namespace test_support

#define NEEDS_OPENSSL()                                                                                                \
    if (access(openssl, X_OK) != 0) {                                                                                  \
        SKIP("there is no openssl here");                                                                              \
    }
