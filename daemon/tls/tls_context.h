/*
 * What connections with TLS have in common: who one is, whom one trusts, and what is negotiated.
 */
#ifndef OCHE_DAEMON_TLS_TLS_CONTEXT_H
#define OCHE_DAEMON_TLS_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_library;

struct tls_bytes {
    const uint8_t *data;
    size_t size; /* 0: there are none */
};

/* A certificate, those between it and a root, and the key that belongs to it, all as PEM. */
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
    struct tls_bytes own_roots;                     /* PEM */
    enum tls_client_certificate client_certificate; /* of a server */
    struct tls_bytes protocols; /* ALPN, each with its length in a byte before it, those that are liked most first */
    int version_min;            /* TLS1_2_VERSION or TLS1_3_VERSION; 0: 1.2 */
    int version_max;            /* 0: the newest */
    const char *ciphers;        /* up to TLS 1.2, in OpenSSL's words; NULL: OpenSSL's choice */
    const char *suites;         /* of TLS 1.3 */
    const char *groups;
};

struct tls_context;

/* NULL: *why is a sentence that says what is wrong with the settings, or that there is no memory. Nothing of the
 * settings is kept but copies. */
struct tls_context *tls_context_new(const struct tls_library *library, const struct tls_settings *settings,
                                    const char **why);

/* Another owner, who frees it, too. */
struct tls_context *tls_context_share(struct tls_context *context);

/* Connections that are open keep what they have of it. NULL is fine. */
void tls_context_free(struct tls_context *context);

/* For a connection to a server of that name or IP address, whose certificate has to be for it. NULL: out of memory. */
SSL *tls_context_client(struct tls_context *context, const char *server_name);

/* For a connection of a client. NULL: out of memory. */
SSL *tls_context_server(struct tls_context *context);

#endif
