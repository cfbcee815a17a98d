/*
 * There is an SSL_CTX for each identity; the first one is that which connections begin with. When a client names the
 * server that it wants, the connection changes to that whose certificate has the name.
 */
#include "daemon/tls/tls_credentials.h"

#include "daemon/tls/tls_identity.h"
#include "daemon/tls/tls_library.h"
#include "daemon/tls/tls_sessions.h"
#include "daemon/tls/tls_tickets.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum {
    SESSION_CONTEXT_SIZE = 32, /* bytes, of SHA-256 */
    TICKET_IV_SIZE = 16,       /* bytes, of AES */
};

struct tls_credentials {
    unsigned references; /* of the owner, and of connections */
    const struct tls_library *library;
    size_t count; /* of identities, at least 1 */
    SSL_CTX **of_identities;
    X509_STORE *trusted;
    uint8_t *protocols;
    unsigned protocols_size;
    struct tls_sessions sessions; /* of connections to servers */
};

/* What a connection knows of its credentials. */
struct link {
    struct tls_credentials *credentials;
    bool asks;
    bool is_trusted;    /* whatever its certificate is */
    char server_name[]; /* of a client; else empty */
};

static const char no_memory[] = "no memory";

static void unreference(struct tls_credentials *credentials)
{
    if (--credentials->references > 0)
        return;
    tls_sessions_deinit(&credentials->sessions);
    for (size_t i = 0; i < credentials->count; i++)
        SSL_CTX_free(credentials->of_identities[i]);
    X509_STORE_free(credentials->trusted);
    free(credentials->of_identities);
    free(credentials->protocols);
    free(credentials);
}

/* ---- what a connection knows ---- */

static int index_of_link = -1;

static void on_connection_freed(void *ssl, void *link_, CRYPTO_EX_DATA *all, int index, long argument, void *pointer)
{
    struct link *link = link_;
    (void)ssl;
    (void)all;
    (void)index;
    (void)argument;
    (void)pointer;
    if (!link)
        return;
    unreference(link->credentials);
    free(link);
}

static void make_index(void)
{
    index_of_link = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_connection_freed);
}

static struct link *link_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, index_of_link);
}

/* ---- what is negotiated ---- */

/* As dart:io does it: without a protocol in common there is none. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *offered,
                           unsigned offered_size, void *credentials_)
{
    const struct tls_credentials *credentials = credentials_;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_size, credentials->protocols, credentials->protocols_size, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int choose_identity(SSL *ssl, int *alert, void *credentials_)
{
    const struct tls_credentials *credentials = credentials_;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (size_t i = 0; name && i < credentials->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(credentials->of_identities[i]);
        if (certificate && X509_check_host(certificate, name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, credentials->of_identities[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_OK; /* that which comes first */
}

static const char *set_versions(SSL_CTX *ssl, const struct tls_settings *settings)
{
    int least = settings->version_min ? settings->version_min : TLS1_2_VERSION;
    if (least < TLS1_2_VERSION || (settings->version_max && settings->version_max < least))
        return "there is no such range of versions: 1.2 is the oldest";
    bool are_known = SSL_CTX_set_min_proto_version(ssl, least) == 1 &&
                     SSL_CTX_set_max_proto_version(ssl, settings->version_max) == 1;
    return are_known ? NULL : "there is no such version";
}

static const char *set_algorithms(SSL_CTX *ssl, const struct tls_settings *settings)
{
    if (settings->ciphers && SSL_CTX_set_cipher_list(ssl, settings->ciphers) != 1)
        return "no cipher of that list is known";
    if (settings->suites && SSL_CTX_set_ciphersuites(ssl, settings->suites) != 1)
        return "a cipher suite of that list is not known";
    if (settings->groups && SSL_CTX_set1_groups_list(ssl, settings->groups) != 1)
        return "a group of that list is not known";
    return NULL;
}

/* ---- trust ---- */

/* As OpenSSL does by itself, but that a client may be asked. */
static int verify(X509_STORE_CTX *verified, void *context)
{
    int result = X509_verify_cert(verified);
    SSL *ssl = X509_STORE_CTX_get_ex_data(verified, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct link *link = link_of(ssl);
    (void)context;
    if (result > 0 || !link->asks)
        return result;
    return link->is_trusted ? 1 : SSL_set_retry_verify(ssl);
}

/* One store for all identities. NULL, or what is wrong with the roots. */
static const char *make_store(struct tls_credentials *credentials, const struct tls_settings *settings)
{
    const struct tls_library *library = credentials->library;
    bool has_own = settings->own_roots.size > 0;
    if (settings->trust == TLS_TRUST_SYSTEM && !has_own) {
        credentials->trusted = library->roots;
        return X509_STORE_up_ref(library->roots) == 1 ? NULL : no_memory;
    }
    credentials->trusted = X509_STORE_new();
    if (!credentials->trusted)
        return no_memory;
    if (settings->trust == TLS_TRUST_NOBODY)
        return NULL;
    if (settings->trust == TLS_TRUST_SYSTEM && !tls_library_trust_system(library, credentials->trusted))
        return no_memory;
    return tls_library_trust(library, credentials->trusted, settings->own_roots.data, settings->own_roots.size);
}

static void set_trust(SSL_CTX *ssl, X509_STORE *trusted, enum tls_client_certificate client_certificate)
{
    static const int modes[] = {
        [TLS_CLIENT_NOT_ASKED] = SSL_VERIFY_NONE,
        [TLS_CLIENT_MAY_SHOW] = SSL_VERIFY_PEER,
        [TLS_CLIENT_MUST_SHOW] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    SSL_CTX_set_verify(ssl, modes[client_certificate], NULL);
    SSL_CTX_set_cert_verify_callback(ssl, verify, NULL);
    SSL_CTX_set1_cert_store(ssl, trusted);
}

/* ---- sessions ---- */

/* Of a client. One whose certificate did not verify is not kept: who resumes does not look at it again. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct link *link = link_of(ssl);
    if (!*link->server_name || SSL_get_verify_result(ssl) != X509_V_OK)
        return 0;
    tls_sessions_put(&link->credentials->sessions, link->server_name, session);
    return 1; /* it is taken over */
}

/* 1: the ticket can be made, or read; 2: read, and it is time for a new one; 0: neither; -1: there is no memory. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_new)
{
    const struct tls_library *library = link_of(ssl)->credentials->library;
    struct tls_ticket_key key;
    int age = is_new ? tls_tickets_current(library->tickets, &key) : tls_tickets_find(library->tickets, name, &key);
    if (age < 0)
        return 0;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    bool is_ready = EVP_MAC_CTX_set_params(mac, parameters) == 1;
    if (is_new) {
        memcpy(name, key.name, sizeof key.name);
        is_ready = is_ready && RAND_bytes_ex(library->context, iv, TICKET_IV_SIZE, 0) == 1;
    }
    is_ready = is_ready && EVP_CipherInit_ex(cipher, library->ticket_cipher, NULL, key.cipher, iv, is_new) == 1;
    OPENSSL_cleanse(&key, sizeof key);
    if (!is_ready)
        return -1;
    return age == 0 ? 1 : 2;
}

static bool digest(EVP_MD_CTX *context, const struct tls_bytes *bytes)
{
    return EVP_DigestUpdate(context, &bytes->size, sizeof bytes->size) == 1 &&
           EVP_DigestUpdate(context, bytes->data, bytes->size) == 1;
}

/* Tickets are good for settings that say the same of certificates, keys and trust, in whichever worker and session. Of
 * keys as well, for a certificate is public: who has no more than that must not read the tickets of who has the key. */
static bool identify(const struct tls_library *library, const struct tls_settings *settings,
                     uint8_t id[SESSION_CONTEXT_SIZE])
{
    EVP_MD *sha256 = EVP_MD_fetch(library->context, "SHA256", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const unsigned choices[] = {settings->trust, settings->client_certificate};
    const struct tls_bytes of_choices = {(const uint8_t *)choices, sizeof choices};
    bool is_done = sha256 && context && EVP_DigestInit_ex(context, sha256, NULL) == 1 && digest(context, &of_choices) &&
                   digest(context, &settings->own_roots);
    for (size_t i = 0; is_done && i < settings->identity_count; i++) {
        const struct tls_identity *identity = &settings->identities[i];
        is_done = digest(context, &identity->chain) && digest(context, &identity->key);
    }
    is_done = is_done && EVP_DigestFinal_ex(context, id, NULL) == 1;
    EVP_MD_CTX_free(context);
    EVP_MD_free(sha256);
    return is_done;
}

static void set_sessions(SSL_CTX *ssl, const uint8_t id[SESSION_CONTEXT_SIZE])
{
    SSL_CTX_set_session_id_context(ssl, id, SESSION_CONTEXT_SIZE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl, on_new_session);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}

/* ---- making it ---- */

static const char *fill(SSL_CTX *ssl, const struct tls_library *library, const struct tls_settings *settings,
                        const struct tls_identity *identity)
{
    const char *why = set_versions(ssl, settings);
    if (!why)
        why = set_algorithms(ssl, settings);
    if (!why && identity)
        why = tls_identity_use(identity, library, ssl);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_dh_auto(ssl, 1);
    ERR_clear_error();
    return why;
}

static const char *add(struct tls_credentials *credentials, const struct tls_settings *settings,
                       const struct tls_identity *identity, const uint8_t id[SESSION_CONTEXT_SIZE])
{
    SSL_CTX *ssl = SSL_CTX_new_ex(credentials->library->context, NULL, TLS_method());
    if (!ssl)
        return no_memory;
    credentials->of_identities[credentials->count++] = ssl;
    SSL_CTX_set_tlsext_servername_callback(ssl, choose_identity);
    SSL_CTX_set_tlsext_servername_arg(ssl, credentials);
    if (credentials->protocols_size > 0)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, credentials);
    set_trust(ssl, credentials->trusted, settings->client_certificate);
    set_sessions(ssl, id);
    return fill(ssl, credentials->library, settings, identity);
}

/* Each protocol has its length before it, and none is empty. */
static bool are_protocols(const struct tls_bytes *protocols)
{
    size_t at = 0;
    while (at < protocols->size && protocols->data[at] > 0)
        at += 1u + protocols->data[at];
    return at == protocols->size && protocols->size <= UINT16_MAX;
}

static const char *init(struct tls_credentials *credentials, const struct tls_settings *settings)
{
    const char *why = NULL;
    uint8_t id[SESSION_CONTEXT_SIZE];
    if (!are_protocols(&settings->protocols))
        return "a protocol's name is empty, or too long";
    credentials->of_identities = calloc(settings->identity_count + 1, sizeof(SSL_CTX *));
    credentials->protocols = malloc(settings->protocols.size + 1);
    if (!credentials->of_identities || !credentials->protocols || !identify(credentials->library, settings, id))
        return no_memory;
    credentials->protocols_size = (unsigned)settings->protocols.size;
    if (settings->protocols.size > 0)
        memcpy(credentials->protocols, settings->protocols.data, settings->protocols.size);
    why = make_store(credentials, settings);
    if (!why && settings->identity_count == 0)
        return add(credentials, settings, NULL, id);
    for (size_t i = 0; !why && i < settings->identity_count; i++)
        why = add(credentials, settings, &settings->identities[i], id);
    return why;
}

struct tls_credentials *tls_credentials_new(const struct tls_library *library, const struct tls_settings *settings,
                                            const char **why)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    struct tls_credentials *credentials = calloc(1, sizeof *credentials);
    *why = no_memory;
    if (!credentials || !CRYPTO_THREAD_run_once(&once, make_index) || index_of_link < 0) {
        free(credentials);
        return NULL;
    }
    credentials->references = 1;
    credentials->library = library;
    tls_sessions_init(&credentials->sessions);
    *why = init(credentials, settings);
    if (!*why)
        return credentials;
    unreference(credentials);
    return NULL;
}

void tls_credentials_free(struct tls_credentials *credentials)
{
    if (credentials)
        unreference(credentials);
}

/* ---- connections ---- */

static bool is_address(const char *name)
{
    uint8_t address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* RFC 6066, 3: an address is not named to the server. */
static bool expect(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1;
    return X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static SSL *new_connection(struct tls_credentials *credentials, const char *server_name, bool asks)
{
    size_t size = strlen(server_name) + 1;
    struct link *link = malloc(sizeof *link + size);
    SSL *ssl = link ? SSL_new(credentials->of_identities[0]) : NULL;
    if (!ssl || SSL_set_ex_data(ssl, index_of_link, link) != 1) {
        SSL_free(ssl);
        free(link);
        return NULL;
    }
    *link = (struct link){.credentials = credentials, .asks = asks};
    memcpy(link->server_name, server_name, size);
    credentials->references++;
    return ssl;
}

static void resume(SSL *ssl, struct tls_credentials *credentials, const char *server_name)
{
    SSL_SESSION *session = tls_sessions_take(&credentials->sessions, server_name);
    if (session)
        SSL_set_session(ssl, session); /* if it cannot, there is a whole handshake */
    SSL_SESSION_free(session);
}

SSL *tls_credentials_client(struct tls_credentials *credentials, const char *server_name, bool asks)
{
    SSL *ssl = new_connection(credentials, server_name, asks);
    if (!ssl)
        return NULL;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    bool is_ready = expect(ssl, server_name);
    if (credentials->protocols_size > 0) /* 0 is success here */
        is_ready = is_ready && SSL_set_alpn_protos(ssl, credentials->protocols, credentials->protocols_size) == 0;
    if (is_ready) {
        resume(ssl, credentials, server_name);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

SSL *tls_credentials_server(struct tls_credentials *credentials)
{
    return new_connection(credentials, "", false);
}

void tls_credentials_trust(SSL *ssl)
{
    link_of(ssl)->is_trusted = true;
}
