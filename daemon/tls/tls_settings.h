/*
 * What a TLS context is made of, as its owner says it.
 */
#ifndef OCHE_DAEMON_TLS_TLS_SETTINGS_H
#define OCHE_DAEMON_TLS_TLS_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

struct tls_bytes {
    const uint8_t *data;
    size_t size; /* 0: there are none */
};

/* Who one is. As PEM: a certificate with those between it and a root, and the key that belongs to it. Without a chain
 * the key is a whole PKCS#12. */
struct tls_identity {
    struct tls_bytes chain;
    struct tls_bytes key;
    const char *passphrase; /* of the key; NULL: it has none */
};

enum tls_trust { TLS_TRUST_SYSTEM, TLS_TRUST_OWN, TLS_TRUST_NOBODY };
enum tls_client_certificate { TLS_CLIENT_NOT_ASKED, TLS_CLIENT_MAY_SHOW, TLS_CLIENT_MUST_SHOW };

/* All zero is a client that trusts the roots of the system. */
struct tls_settings {
    const struct tls_identity
        *identities; /* a server takes that which fits the name the client asks for, or the first */
    size_t identity_count;
    enum tls_trust trust;
    struct tls_bytes own_roots;                     /* PEM; trusted beside those of the system, or alone */
    enum tls_client_certificate client_certificate; /* of a server */
    struct tls_bytes protocols; /* ALPN, each with its length in a byte before it, those that are liked most first */
    int version_min;            /* TLS1_2_VERSION or TLS1_3_VERSION; 0: 1.2 */
    int version_max;            /* 0: the newest */
    const char *ciphers;        /* up to TLS 1.2, in OpenSSL's words; NULL: OpenSSL's choice */
    const char *suites;         /* of TLS 1.3 */
    const char *groups;
};

#endif
