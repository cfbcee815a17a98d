/*
 * A context has an SSL_CTX for each of its identities; the first one is that which connections begin with. When a
 * client names the server that it wants, the connection changes to that whose certificate has the name.
 */
#include "daemon/tls/tls_context.h"

#include "daemon/tls/tls_library.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
    unsigned references; /* of the owner, and of connections, whose handshakes look into it */
    size_t count;        /* of identities, at least 1 */
    SSL_CTX **of_identities;
    uint8_t *protocols;
    unsigned protocols_size;
};

static const char no_memory[] = "no memory";

static void unreference(struct tls_context *context)
{
    if (--context->references > 0)
        return;
    for (size_t i = 0; i < context->count; i++)
        SSL_CTX_free(context->of_identities[i]);
    free(context->of_identities);
    free(context->protocols);
    free(context);
}

/* ---- PEM ---- */

static BIO *open_bytes(const struct tls_bytes *bytes)
{
    return bytes->size <= INT_MAX ? BIO_new_mem_buf(bytes->data, (int)bytes->size) : NULL;
}

static int give_passphrase(char *to, int size, int writes, void *context)
{
    const char *passphrase = context;
    (void)writes;
    if (!passphrase || strlen(passphrase) > (size_t)size)
        return -1;
    memcpy(to, passphrase, strlen(passphrase));
    return (int)strlen(passphrase);
}

/* NULL, or what is wrong with it. */
static const char *use_chain(SSL_CTX *ssl, const struct tls_library *library, const struct tls_bytes *chain)
{
    const char *why = NULL;
    BIO *bio = open_bytes(chain);
    X509 *certificate = bio ? tls_library_read_certificate(library, bio) : NULL;
    if (!bio)
        why = no_memory;
    else if (!certificate)
        why = "the chain does not begin with a certificate in PEM";
    else if (SSL_CTX_use_certificate(ssl, certificate) != 1)
        why = "the certificate cannot be used: its key is too small, or its signature too weak";
    X509_free(certificate);
    while (!why && (certificate = tls_library_read_certificate(library, bio))) {
        if (SSL_CTX_add0_chain_cert(ssl, certificate) != 1) {
            X509_free(certificate);
            why = "a certificate of the chain cannot be used";
        }
    }
    if (!why && !tls_library_is_at_end())
        why = "a certificate of the chain cannot be read";
    BIO_free(bio);
    return why;
}

static const char *use_key(SSL_CTX *ssl, const struct tls_library *library, const struct tls_identity *identity)
{
    BIO *bio = open_bytes(&identity->key);
    if (!bio)
        return no_memory;
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, give_passphrase, (void *)(uintptr_t)identity->passphrase,
                                               library->context, NULL);
    BIO_free(bio);
    if (!key)
        return identity->passphrase ? "the key cannot be read, or the passphrase is not the right one"
                                    : "the key cannot be read, or it takes a passphrase";
    const char *why = SSL_CTX_use_PrivateKey(ssl, key) == 1 ? NULL : "the key does not belong to the certificate";
    EVP_PKEY_free(key);
    return why;
}

/* ---- what is negotiated ---- */

/* As dart:io does it: without a protocol in common there is none. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *offered,
                           unsigned offered_size, void *context_)
{
    const struct tls_context *context = context_;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_size, context->protocols, context->protocols_size, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int choose_identity(SSL *ssl, int *alert, void *context_)
{
    const struct tls_context *context = context_;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (size_t i = 0; name && i < context->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(context->of_identities[i]);
        if (certificate && X509_check_host(certificate, name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, context->of_identities[i]);
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
    SSL_CTX_set_min_proto_version(ssl, least);
    SSL_CTX_set_max_proto_version(ssl, settings->version_max);
    return NULL;
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

static const char *set_trust(SSL_CTX *ssl, const struct tls_library *library, const struct tls_settings *settings)
{
    static const int modes[] = {
        [TLS_CLIENT_NOT_ASKED] = SSL_VERIFY_NONE,
        [TLS_CLIENT_MAY_SHOW] = SSL_VERIFY_PEER,
        [TLS_CLIENT_MUST_SHOW] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    SSL_CTX_set_verify(ssl, modes[settings->client_certificate], NULL);
    if (settings->trust == TLS_TRUST_SYSTEM)
        SSL_CTX_set1_cert_store(ssl, library->roots);
    if (settings->trust != TLS_TRUST_OWN)
        return NULL;
    return tls_library_trust(library, SSL_CTX_get_cert_store(ssl), settings->own_roots.data, settings->own_roots.size);
}

/* ---- making it ---- */

static const char *fill(SSL_CTX *ssl, const struct tls_library *library, const struct tls_settings *settings,
                        const struct tls_identity *identity)
{
    const char *why = set_versions(ssl, settings);
    if (!why)
        why = set_algorithms(ssl, settings);
    if (!why)
        why = set_trust(ssl, library, settings);
    if (!why && identity)
        why = use_chain(ssl, library, &identity->chain);
    if (!why && identity)
        why = use_key(ssl, library, identity);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    ERR_clear_error();
    return why;
}

static const char *add(struct tls_context *context, const struct tls_library *library,
                       const struct tls_settings *settings, const struct tls_identity *identity)
{
    SSL_CTX *ssl = SSL_CTX_new_ex(library->context, NULL, TLS_method());
    if (!ssl)
        return no_memory;
    context->of_identities[context->count++] = ssl;
    SSL_CTX_set_tlsext_servername_callback(ssl, choose_identity);
    SSL_CTX_set_tlsext_servername_arg(ssl, context);
    if (context->protocols_size > 0)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, context);
    return fill(ssl, library, settings, identity);
}

/* Each protocol has its length before it, and none is empty. */
static bool are_protocols(const struct tls_bytes *protocols)
{
    size_t at = 0;
    while (at < protocols->size && protocols->data[at] > 0)
        at += 1u + protocols->data[at];
    return at == protocols->size && protocols->size <= UINT16_MAX;
}

static const char *init(struct tls_context *context, const struct tls_library *library,
                        const struct tls_settings *settings)
{
    const char *why = NULL;
    if (!are_protocols(&settings->protocols))
        return "a protocol's name is empty, or too long";
    context->of_identities = calloc(settings->identity_count + 1, sizeof(SSL_CTX *));
    context->protocols = malloc(settings->protocols.size + 1);
    if (!context->of_identities || !context->protocols)
        return no_memory;
    context->protocols_size = (unsigned)settings->protocols.size;
    if (settings->protocols.size > 0)
        memcpy(context->protocols, settings->protocols.data, settings->protocols.size);
    if (settings->identity_count == 0)
        return add(context, library, settings, NULL);
    for (size_t i = 0; !why && i < settings->identity_count; i++)
        why = add(context, library, settings, &settings->identities[i]);
    return why;
}

struct tls_context *tls_context_new(const struct tls_library *library, const struct tls_settings *settings,
                                    const char **why)
{
    struct tls_context *context = calloc(1, sizeof *context);
    *why = no_memory;
    if (!context)
        return NULL;
    context->references = 1;
    *why = init(context, library, settings);
    if (!*why)
        return context;
    unreference(context);
    return NULL;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    context->references++;
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context)
        unreference(context);
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

static int of_connection = -1; /* the index under which a connection has its context */

static void on_connection_freed(void *ssl, void *context, CRYPTO_EX_DATA *all, int index, long argument, void *pointer)
{
    (void)ssl;
    (void)all;
    (void)index;
    (void)argument;
    (void)pointer;
    if (context)
        unreference(context);
}

static void make_index(void)
{
    of_connection = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_connection_freed);
}

static SSL *new_connection(struct tls_context *context)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    if (!CRYPTO_THREAD_run_once(&once, make_index) || of_connection < 0)
        return NULL;
    SSL *ssl = SSL_new(context->of_identities[0]);
    if (!ssl || SSL_set_ex_data(ssl, of_connection, context) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    context->references++;
    return ssl;
}

SSL *tls_context_client(struct tls_context *context, const char *server_name)
{
    SSL *ssl = new_connection(context);
    if (!ssl)
        return NULL;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    bool is_ready = expect(ssl, server_name);
    if (context->protocols_size > 0) /* 0 is success here */
        is_ready = is_ready && SSL_set_alpn_protos(ssl, context->protocols, context->protocols_size) == 0;
    if (is_ready)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

SSL *tls_context_server(struct tls_context *context)
{
    return new_connection(context);
}
