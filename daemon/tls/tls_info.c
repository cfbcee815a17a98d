#include "daemon/tls/tls_info.h"

#include "daemon/tls/tls_stream.h"
#include "proto/tls_item.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CERTIFICATES_MAX = 64 * 1024, /* bytes, so that they are one record of the lane: what goes beyond is left out */
    TEXT_MAX = 4 * 1024,          /* bytes, of a name that a peer may have chosen: the rest is cut off */
};

/* Copies are malloc()ed, as the caller expects it, and not OpenSSL's. */
static ssize_t give(const void *from, size_t size, uint8_t **bytes)
{
    *bytes = malloc(size + 1);
    if (!*bytes)
        return -ENOMEM;
    if (size > 0)
        memcpy(*bytes, from, size);
    return (ssize_t)size;
}

static ssize_t give_text(const char *text, uint8_t **bytes)
{
    return give(text, text ? strnlen(text, TEXT_MAX) : 0, bytes);
}

/* The peer's; NULL: it has shown none. While a client is asked OpenSSL has but the chain. */
static X509 *peer_of(const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    return certificate || SSL_is_server(ssl) || sk_X509_num(chain) <= 0 ? certificate : sk_X509_value(chain, 0);
}

/* ---- certificates ---- */

struct der {
    uint8_t *bytes; /* NULL: only the size is wanted */
    size_t size;
    bool is_full; /* one did not fit, and those behind it are left out as well */
};

static void append_der(struct der *der, const X509 *certificate)
{
    int size = i2d_X509(certificate, NULL);
    if (size <= 0 || der->is_full || der->size + (size_t)size > CERTIFICATES_MAX) {
        der->is_full = true;
        return;
    }
    uint8_t *end = der->bytes ? der->bytes + der->size : NULL;
    if (end)
        i2d_X509(certificate, &end);
    der->size += (size_t)size;
}

/* One certificate after the other: each says itself how long it is. */
static void append_chain(struct der *der, const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *certificate = peer_of(ssl);
    if (certificate)
        append_der(der, certificate);
    /* That of a client does not have its own certificate. */
    for (int i = SSL_is_server(ssl) ? 0 : 1; i < sk_X509_num(chain); i++)
        append_der(der, sk_X509_value(chain, i));
}

static ssize_t give_chain(const SSL *ssl, uint8_t **bytes)
{
    struct der der = {0};
    append_chain(&der, ssl);
    der.bytes = *bytes = malloc(der.size + 1);
    if (!der.bytes)
        return -ENOMEM;
    der.size = 0;
    der.is_full = false;
    append_chain(&der, ssl);
    return (ssize_t)der.size;
}

static ssize_t give_certificate(const X509 *certificate, uint8_t **bytes)
{
    struct der der = {0};
    if (!certificate)
        return give("", 0, bytes);
    append_der(&der, certificate);
    der.bytes = *bytes = malloc(der.size + 1);
    if (!der.bytes)
        return -ENOMEM;
    der.size = 0;
    der.is_full = false;
    append_der(&der, certificate);
    return (ssize_t)der.size;
}

/* As dart:io has it: "/C=DE/CN=host". */
static ssize_t give_name(const X509_NAME *name, uint8_t **bytes)
{
    char *line = name ? X509_NAME_oneline(name, NULL, 0) : NULL;
    ssize_t size = name && !line ? -ENOMEM : give_text(line, bytes);
    OPENSSL_free(line);
    return size;
}

static long long seconds_of(const ASN1_TIME *time)
{
    struct tm broken_down;
    return ASN1_TIME_to_tm(time, &broken_down) == 1 ? (long long)timegm(&broken_down) : 0;
}

static ssize_t give_validity(const X509 *certificate, uint8_t **bytes)
{
    char text[64] = "";
    if (certificate)
        snprintf(text, sizeof text, "%lld %lld", seconds_of(X509_get0_notBefore(certificate)),
                 seconds_of(X509_get0_notAfter(certificate)));
    return give_text(text, bytes);
}

static ssize_t give_sha1(const X509 *certificate, uint8_t **bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (certificate && X509_digest(certificate, EVP_sha1(), digest, &size) != 1)
        return -ENOMEM;
    return give(digest, size, bytes);
}

/* ---- what was negotiated ---- */

/* RFC 8446, 4.2.7, and what OpenSSL calls them. */
static ssize_t give_group(SSL *ssl, uint8_t **bytes)
{
    /* Up to OpenSSL 3.4 it looks into a session that is not there before the handshake. */
    int group = SSL_get_session(ssl) ? (int)SSL_get_negotiated_group(ssl) : 0;
    return give_text(group == 0 ? NULL : SSL_group_to_name(ssl, group), bytes);
}

static ssize_t give_protocol(const SSL *ssl, uint8_t **bytes)
{
    const unsigned char *name;
    unsigned size;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return give(name, size, bytes);
}

static ssize_t give_verification(const SSL *ssl, uint8_t **bytes)
{
    long result = SSL_get_verify_result(ssl);
    return give_text(result == X509_V_OK ? NULL : X509_verify_cert_error_string(result), bytes);
}

ssize_t tls_info_get(const struct stream *stream, int64_t item, uint8_t **bytes)
{
    SSL *ssl = tls_stream_ssl(stream);
    const X509 *peer = peer_of(ssl);
    switch (item) {
    case TLS_ITEM_VERSION:
        return give_text(SSL_get_version(ssl), bytes);
    case TLS_ITEM_CIPHER:
        return give_text(SSL_get_current_cipher(ssl) ? SSL_get_cipher_name(ssl) : NULL, bytes);
    case TLS_ITEM_GROUP:
        return give_group(ssl, bytes);
    case TLS_ITEM_PROTOCOL:
        return give_protocol(ssl, bytes);
    case TLS_ITEM_SERVER_NAME:
        return give_text(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), bytes);
    case TLS_ITEM_RESUMED:
        return give_text(SSL_session_reused(ssl) ? "1" : NULL, bytes);
    case TLS_ITEM_VERIFICATION:
        return give_verification(ssl, bytes);
    case TLS_ITEM_FAILURE:
        return give_text(tls_stream_failure(stream), bytes);
    case TLS_ITEM_CHAIN:
        return give_chain(ssl, bytes);
    case TLS_ITEM_OWN_CERTIFICATE:
        return give_certificate(SSL_get_certificate(ssl), bytes);
    case TLS_ITEM_SUBJECT:
        return give_name(peer ? X509_get_subject_name(peer) : NULL, bytes);
    case TLS_ITEM_ISSUER:
        return give_name(peer ? X509_get_issuer_name(peer) : NULL, bytes);
    case TLS_ITEM_VALIDITY:
        return give_validity(peer, bytes);
    case TLS_ITEM_SHA1:
        return give_sha1(peer, bytes);
    default:
        return -EINVAL;
    }
}
