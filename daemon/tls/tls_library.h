/*
 * What a worker needs of OpenSSL. It is made when TLS is first wanted, and opens nothing: the daemon has given up its
 * files by then.
 *
 * Each worker has a library context of its own, for the locks of one that threads share cost more than what they guard.
 */
#ifndef OCHE_DAEMON_TLS_TLS_LIBRARY_H
#define OCHE_DAEMON_TLS_TLS_LIBRARY_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

struct tls_roots;
struct tls_tickets;

/* All zero: not made yet. */
struct tls_library {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *provider;
    X509_STORE *roots;         /* those of the system; shared by all who trust them */
    EVP_CIPHER *ticket_cipher; /* of session tickets */
    struct tls_tickets *tickets;
};

/* 0 or -ENOMEM. `tickets` is shared with other workers, and stays the caller's. */
int tls_library_init(struct tls_library *library, const struct tls_roots *roots, struct tls_tickets *tickets);
void tls_library_deinit(struct tls_library *library);

/* Adds the certificates of a text in PEM to those that the store trusts. NULL, or what is wrong with it. */
const char *tls_library_trust(const struct tls_library *library, X509_STORE *store, const void *text, size_t size);

/* Adds those that the system trusts. False: no memory. */
bool tls_library_trust_system(const struct tls_library *library, X509_STORE *store);

/* The next certificate of a text in PEM. NULL: there is none, and tls_library_is_at_end() says whether that is its
 * end. */
X509 *tls_library_read_certificate(const struct tls_library *library, BIO *text);
bool tls_library_is_at_end(void);

#endif
