// Contexts: what is wrong with settings is said, and what they say is what connections do.

#include <catch2/catch.hpp>

extern "C" {
#include "daemon/tls/tls_context.h"
#include "daemon/tls/tls_library.h"
#include "daemon/tls/tls_roots.h"
#include "daemon/tls/tls_stream.h"
#include "daemon/tls/tls_tickets.h"
}

#include "tests/unit/daemon/stream/ends.h"
#include "tests/unit/daemon/tls/authority.h"

#include <cerrno>
#include <openssl/ssl.h>
#include <string>
#include <utility>
#include <vector>

using namespace test_support;

namespace
{

tls_bytes bytes_of(const std::string &text)
{
    return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

class Library
{
  public:
    Library() : Library(nullptr)
    {
    }
    // With the keys of tickets of another one, as workers share them.
    explicit Library(const Library *other)
    {
        tls_tickets_init(&own_tickets_);
        tickets_ = other ? other->tickets_ : &own_tickets_;
        REQUIRE(tls_roots_init(&roots_) == 0);
        REQUIRE(tls_library_init(&library_, &roots_, tickets_) == 0);
    }
    ~Library()
    {
        tls_library_deinit(&library_);
        tls_roots_deinit(&roots_);
        tls_tickets_deinit(&own_tickets_);
    }
    tls_tickets *tickets() const
    {
        return tickets_;
    }
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;
    const tls_library *get() const
    {
        return &library_;
    }

    bool has_roots() const
    {
        return roots_.size > 0;
    }

  private:
    tls_tickets own_tickets_{};
    tls_tickets *tickets_ = nullptr;
    tls_roots roots_{};
    tls_library library_{};
};

// Settings with what they point to.
struct Settings {
    std::vector<std::string> kept;
    std::vector<tls_identity> identities;
    tls_settings all{};

    Settings()
    {
        kept.reserve(100); // what points into it stays good
        all.trust = TLS_TRUST_NOBODY;
    }
    tls_bytes keep(const std::string &text)
    {
        kept.push_back(text);
        return bytes_of(kept.back());
    }
    Settings &with(const std::string &chain, const std::string &key, const char *passphrase = nullptr)
    {
        identities.push_back({keep(chain), keep(key), passphrase});
        all.identities = identities.data();
        all.identity_count = identities.size();
        return *this;
    }
    Settings &trusting(const std::string &roots)
    {
        all.trust = TLS_TRUST_OWN;
        all.own_roots = keep(roots);
        return *this;
    }
    Settings &speaking(const std::string &protocols)
    {
        all.protocols = keep(protocols);
        return *this;
    }
};

using ContextPointer = std::unique_ptr<tls_context, Freer<tls_context_free>>;

ContextPointer make(const Library &library, const Settings &settings)
{
    const char *why = nullptr;
    ContextPointer context(tls_context_new(library.get(), &settings.all, &why));
    INFO(why);
    REQUIRE(context);
    return context;
}

std::string objection(const Library &library, const Settings &settings)
{
    const char *why = nullptr;
    const ContextPointer context(tls_context_new(library.get(), &settings.all, &why));
    CHECK_FALSE(context);
    return why ? why : "none";
}

// A handshake of the two; what the client says of it, "" if it is content.
struct Handshake : Connected {
    Handshake(tls_context *server, tls_context *client, const char *name, bool asks = false) : Connected(ENGINE_EPOLL)
    {
        one.put_on([&](stream *below, time_slice *slice) {
            return tls_stream_new(below, slice, tls_context_server(server), TLS_SERVER);
        });
        other.put_on([&](stream *below, time_slice *slice) {
            return tls_stream_new(below, slice, tls_context_client(client, name, asks), TLS_CLIENT);
        });
        one.is_done = other.is_done = [this] {
            return other.opened < 0 || other.opened == STREAM_ASKS || (one.opened <= 0 && other.opened <= 0);
        };
        loop.run();
    }
    std::string failure() const
    {
        return tls_stream_failure(other.top);
    }
    std::string protocol(const End &end) const
    {
        const unsigned char *name = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(tls_stream_ssl(end.top), &name, &size);
        return std::string(reinterpret_cast<const char *>(name), size);
    }
    // A byte of the server's, which comes behind the tickets that it has to give.
    Handshake &talk()
    {
        one.send("x");
        stream_receive(other.top);
        one.is_done = other.is_done = [this] { return !other.received.empty(); };
        loop.run();
        return *this;
    }
    bool is_resumed() const
    {
        return SSL_session_reused(tls_stream_ssl(other.top)) && SSL_session_reused(tls_stream_ssl(one.top));
    }
    // The serial number of what the server has shown.
    long serial() const
    {
        const X509 *certificate = SSL_get0_peer_certificate(tls_stream_ssl(other.top));
        return ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
    }
};

const CertificateOptions an_authority{"", -60, 3600, true};

} // namespace

TEST_CASE("a client is content with a certificate for the name, of an authority that it trusts")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1"}, &authority);
    const ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));

    CHECK(Handshake(serving.get(), asking.get(), "oche.test").failure().empty());
    CHECK(Handshake(serving.get(), asking.get(), "a.wild.test").failure().empty());
    CHECK(Handshake(serving.get(), asking.get(), "127.0.0.1").failure().empty());
    CHECK(Handshake(serving.get(), asking.get(), "::1").failure().empty());

    CHECK(Handshake(serving.get(), asking.get(), "other.test").failure() == "hostname mismatch");
    CHECK(Handshake(serving.get(), asking.get(), "a.b.wild.test").failure() == "hostname mismatch");
    CHECK(Handshake(serving.get(), asking.get(), "wild.test").failure() == "hostname mismatch");
    CHECK(Handshake(serving.get(), asking.get(), "127.0.0.2").failure() == "IP address mismatch");
}

TEST_CASE("a client says what is wrong with a certificate")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued stranger(an_authority);
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    const auto failure_with = [&](const Issued &issued, const std::string &behind = "") {
        const ContextPointer serving = make(library, Settings().with(issued.certificate() + behind, issued.key()));
        return Handshake(serving.get(), asking.get(), "oche.test").failure();
    };
    CHECK(failure_with(Issued({"DNS:oche.test", -7200, -3600}, &authority)) == "certificate has expired");
    CHECK(failure_with(Issued({"DNS:oche.test", 3600, 7200}, &authority)) == "certificate is not yet valid");
    CHECK(failure_with(Issued({"DNS:oche.test"})) == "self-signed certificate");
    CHECK(failure_with(Issued({"DNS:oche.test"}, &stranger)) == "unable to get local issuer certificate");
    CHECK(failure_with(Issued({"DNS:oche.test"}, &stranger), stranger.certificate()) ==
          "self-signed certificate in certificate chain");

    const Issued between(an_authority, &authority);
    const Issued behind_it({"DNS:oche.test"}, &between);
    CHECK(failure_with(behind_it, between.certificate()).empty());
    CHECK(failure_with(behind_it) == "unable to get local issuer certificate");
}

TEST_CASE("a server has the certificate for the name that the client asks for, and else the first")
{
    const Library library;
    const Issued authority(an_authority);
    Settings settings;
    for (int i = 0; i < 20; i++) {
        const Issued issued({"DNS:host" + std::to_string(i) + ".test,DNS:first.test"}, &authority);
        settings.with(issued.certificate(), issued.key());
    }
    const Issued wild({"DNS:*.wild.test"}, &authority);
    settings.with(wild.certificate(), wild.key());
    const ContextPointer serving = make(library, settings);
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));

    const long first = Handshake(serving.get(), asking.get(), "host0.test").serial();
    for (const int i : {1, 7, 19}) {
        const Handshake handshake(serving.get(), asking.get(), ("host" + std::to_string(i) + ".test").c_str());
        CHECK(handshake.failure().empty());
        CHECK(handshake.serial() == first + i);
    }
    const Handshake with_wild(serving.get(), asking.get(), "any.wild.test");
    CHECK(with_wild.failure().empty());
    CHECK(with_wild.serial() == first + 20);
    CHECK(Handshake(serving.get(), asking.get(), "first.test").serial() == first);
    CHECK(Handshake(serving.get(), asking.get(), "unknown.test").failure() == "hostname mismatch");
}

TEST_CASE("the protocol that the server likes most is chosen, and none if there is none in common")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    const ContextPointer serving =
        make(library, Settings().with(server.certificate(), server.key()).speaking("\x02h2\x08http/1.1"));
    const auto asking = [&](const std::string &protocols) {
        return make(library, Settings().trusting(authority.certificate()).speaking(protocols));
    };
    const ContextPointer both = asking("\x08http/1.1\x02h2");
    const Handshake of_both(serving.get(), both.get(), "oche.test");
    CHECK(of_both.protocol(of_both.one) == "h2");
    CHECK(of_both.protocol(of_both.other) == "h2");
    const ContextPointer other = asking("\x03irc");
    const Handshake of_other(serving.get(), other.get(), "oche.test");
    CHECK(of_other.failure().empty());
    CHECK(of_other.protocol(of_other.other).empty());
}

TEST_CASE("a client certificate is asked for, and has to be there if the server says so")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    const Issued somebody({"DNS:client.test"}, &authority);
    Settings settings;
    settings.with(server.certificate(), server.key()).trusting(authority.certificate());
    settings.all.client_certificate = TLS_CLIENT_MUST_SHOW;
    const ContextPointer serving = make(library, settings);
    const ContextPointer with =
        make(library, Settings().with(somebody.certificate(), somebody.key()).trusting(authority.certificate()));
    const ContextPointer without = make(library, Settings().trusting(authority.certificate()));

    const Handshake shown(serving.get(), with.get(), "oche.test");
    CHECK(shown.one.opened == 0);
    CHECK(SSL_get0_peer_certificate(tls_stream_ssl(shown.one.top)) != nullptr);

    Handshake not_shown(serving.get(), without.get(), "oche.test");
    not_shown.one.is_done = [&] { return not_shown.one.opened <= 0; };
    if (not_shown.one.opened > 0) {
        not_shown.loop.run();
    }
    CHECK(not_shown.one.opened == -EPROTO);
    CHECK(std::string(tls_stream_failure(not_shown.one.top)) == "peer did not return a certificate");
}

TEST_CASE("settings that make no sense are refused with words")
{
    const Library library;
    const Issued server({"DNS:oche.test"});
    const Issued other({"DNS:oche.test"});
    CHECK(objection(library, Settings().with("nonsense", server.key())) ==
          "the chain does not begin with a certificate in PEM");
    CHECK(objection(library, Settings().with(server.certificate(), "nonsense")) ==
          "the key cannot be read, or it takes a passphrase");
    CHECK(objection(library, Settings().with(server.certificate(), other.key())) ==
          "the key does not belong to the certificate");
    CHECK(objection(library, Settings().with(server.certificate(), server.key("secret"))) ==
          "the key cannot be read, or it takes a passphrase");
    CHECK(objection(library, Settings().with(server.certificate(), server.key("secret"), "wrong")) ==
          "the key cannot be read, or the passphrase is not the right one");
    CHECK(make(library, Settings().with(server.certificate(), server.key("secret"), "secret")));
    CHECK(objection(library, Settings().trusting("nonsense")) == "the trusted roots are no certificates in PEM");
    const std::string broken = server.certificate();
    CHECK(objection(library, Settings().with(server.certificate() + broken.substr(0, broken.size() / 2),
                                             server.key())) == "a certificate of the chain cannot be read");
    CHECK(objection(library, Settings().speaking("\x05h2")) == "a protocol's name is empty, or too long");

    Settings settings;
    settings.all.version_min = TLS1_1_VERSION;
    CHECK(objection(library, settings) == "there is no such range of versions: 1.2 is the oldest");
    settings.all.version_min = 0;
    settings.all.ciphers = "no such cipher";
    CHECK(objection(library, settings) == "no cipher of that list is known");
    settings.all.ciphers = nullptr;
    settings.all.groups = "no such group";
    CHECK(objection(library, settings) == "a group of that list is not known");
}

TEST_CASE("a context that is freed in a handshake stays as long as the connection")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    Connected ends(ENGINE_EPOLL);
    ends.one.put_on([&](stream *below, time_slice *slice) {
        return tls_stream_new(below, slice, tls_context_server(serving.get()), TLS_SERVER);
    });
    ends.other.put_on([&](stream *below, time_slice *slice) {
        return tls_stream_new(below, slice, tls_context_client(asking.get(), "oche.test", false), TLS_CLIENT);
    });
    serving.reset();
    asking.reset();
    ends.one.is_done = ends.other.is_done = [&] { return ends.one.opened <= 0 && ends.other.opened <= 0; };
    ends.loop.run();
    CHECK(ends.one.opened == 0);
    CHECK(ends.other.opened == 0);
}

TEST_CASE("a session is resumed by a ticket, in every worker, and for each ticket once")
{
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(version);
    const Library library;
    const Library other(&library);
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test,DNS:other.test"}, &authority);
    Settings settings;
    settings.with(server.certificate(), server.key());
    settings.all.version_max = version;
    const ContextPointer serving = make(library, settings);
    const ContextPointer elsewhere = make(other, settings);
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));

    CHECK_FALSE(Handshake(serving.get(), asking.get(), "oche.test").talk().is_resumed());
    CHECK_FALSE(Handshake(serving.get(), asking.get(), "other.test").talk().is_resumed());
    CHECK(Handshake(serving.get(), asking.get(), "oche.test").is_resumed());
    CHECK(Handshake(elsewhere.get(), asking.get(), "oche.test").is_resumed());
    // There were two, which are used up, for those who resumed have not waited for new ones.
    CHECK(Handshake(serving.get(), asking.get(), "oche.test").is_resumed() == (version == TLS1_2_VERSION));
}

TEST_CASE("a ticket is good until its key has been replaced three times")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    const ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    const auto is_resumed_after = [&](int rotations) {
        const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
        Handshake(serving.get(), asking.get(), "oche.test").talk();
        for (int i = 0; i < rotations; i++) {
            REQUIRE(tls_tickets_rotate(library.tickets()) == 0);
        }
        return Handshake(serving.get(), asking.get(), "oche.test").is_resumed();
    };
    CHECK(is_resumed_after(0));
    CHECK(is_resumed_after(1));
    CHECK(is_resumed_after(2));
    CHECK_FALSE(is_resumed_after(3));
}

TEST_CASE("a ticket is of no use for settings with another trust")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    const ContextPointer open = make(library, Settings().with(server.certificate(), server.key()));
    Settings settings;
    settings.with(server.certificate(), server.key()).trusting(authority.certificate());
    settings.all.client_certificate = TLS_CLIENT_MUST_SHOW;
    const ContextPointer guarded = make(library, settings);
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    Handshake(open.get(), asking.get(), "oche.test").talk();

    Handshake refused(guarded.get(), asking.get(), "oche.test");
    refused.one.is_done = [&] { return refused.one.opened <= 0; };
    if (refused.one.opened > 0) {
        refused.loop.run();
    }
    CHECK(refused.one.opened == -EPROTO);
}

TEST_CASE("a client that asks stops at a certificate that does not verify, and its session is not kept")
{
    const Library library;
    const Issued server({"DNS:oche.test"});
    const ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    const ContextPointer asking = make(library, Settings());
    for (int i = 0; i < 2; i++) {
        Handshake handshake(serving.get(), asking.get(), "oche.test", true);
        CHECK(handshake.other.opened == STREAM_ASKS);
        CHECK(handshake.failure() == "self-signed certificate");
        CHECK(handshake.one.opened > 0);
        tls_stream_trust(handshake.other.top);
        handshake.one.is_done =
            handshake.other.is_done = [&] { return handshake.one.opened == 0 && handshake.other.opened == 0; };
        handshake.loop.run();
        CHECK(handshake.failure().empty());
        CHECK_FALSE(handshake.talk().is_resumed());
    }
}

TEST_CASE("a context that is replaced has other certificates, for handshakes to come")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued before({"DNS:oche.test"}, &authority);
    const Issued after({"DNS:oche.test"}, &authority);
    const ContextPointer serving = make(library, Settings().with(before.certificate(), before.key()));
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    const ContextPointer asking_anew = make(library, Settings().trusting(authority.certificate()));
    Handshake open(serving.get(), asking.get(), "oche.test");
    const Settings renewed = std::move(Settings().with(after.certificate(), after.key()));
    const Settings broken = std::move(Settings().with(after.certificate(), before.key()));
    CHECK(std::string(tls_context_replace(serving.get(), library.get(), &broken.all)) ==
          "the key does not belong to the certificate");
    CHECK(Handshake(serving.get(), asking_anew.get(), "oche.test").serial() == open.serial());
    CHECK(tls_context_replace(serving.get(), library.get(), &renewed.all) == nullptr);
    CHECK(Handshake(serving.get(), asking_anew.get(), "oche.test").serial() == open.serial() + 1);
    open.talk();
}

TEST_CASE("certificate and key may come as a PKCS#12")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued between(an_authority, &authority);
    const Issued server({"DNS:oche.test"}, &between);
    const std::string archive = server.archive("secret", &between);
    const ContextPointer serving = make(library, Settings().with("", archive, "secret"));
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    CHECK(Handshake(serving.get(), asking.get(), "oche.test").failure().empty());
    CHECK(objection(library, Settings().with("", archive, "wrong")).find("the passphrase is not the right one") !=
          std::string::npos);
    CHECK(objection(library, Settings().with("", "nonsense")) ==
          "the key is no PKCS#12, which it has to be if there is no chain");
}

TEST_CASE("a ticket cannot be read by who has the certificate and not the key")
{
    const Library library;
    const Issued authority(an_authority);
    const Issued server({"DNS:oche.test"}, &authority);
    // The text of the key is another one when it is encrypted, which stands here for another key with this certificate.
    const ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    const ContextPointer elsewhere =
        make(library, Settings().with(server.certificate(), server.key("secret"), "secret"));
    const ContextPointer asking = make(library, Settings().trusting(authority.certificate()));
    Handshake(serving.get(), asking.get(), "oche.test").talk();
    CHECK_FALSE(Handshake(elsewhere.get(), asking.get(), "oche.test").is_resumed());
}

TEST_CASE("keys that take too long are refused")
{
    const Library library;
    const Issued server({"DNS:oche.test"});
    const std::string slow = server.slow_key("secret", 1'000'001);
    CHECK(objection(library, Settings().with(server.certificate(), slow, "secret")) ==
          "the key takes too long to decrypt: there are more than a million iterations");
    CHECK(make(library, Settings().with(server.certificate(), server.slow_key("secret", 10'000), "secret")));
    CHECK(objection(library, Settings().with("", server.archive("secret", &server, 1'000'001), "secret")) ==
          "the key takes too long to decrypt: there are more than a million iterations");
}

TEST_CASE("the roots of the system are there, if there are any")
{
    const Library library;
    if (!library.has_roots()) {
        SKIP("this system has no trusted roots");
    }
    Settings settings;
    settings.all.trust = TLS_TRUST_SYSTEM;
    const ContextPointer asking = make(library, settings);
    const Issued server({"DNS:oche.test"});
    const ContextPointer serving = make(library, Settings().with(server.certificate(), server.key()));
    CHECK(Handshake(serving.get(), asking.get(), "oche.test").failure() == "self-signed certificate");

    // Others may be trusted beside them.
    settings.all.own_roots = settings.keep(server.certificate());
    const ContextPointer trusting_more = make(library, settings);
    CHECK(Handshake(serving.get(), trusting_more.get(), "oche.test").failure().empty());
}
