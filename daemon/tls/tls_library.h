/*
 * What TLS needs of OpenSSL and of the system, made once for each worker, before the daemon gives up its files.
 *
 * Each worker has a library context of its own, for the locks of one that threads share cost more than what they guard.
 * Everything that OpenSSL would open when it is first wanted (its configuration, its providers, the trusted roots) is
 * loaded here.
 */
#ifndef OCHE_DAEMON_TLS_TLS_LIBRARY_H
#define OCHE_DAEMON_TLS_TLS_LIBRARY_H

#include <openssl/types.h>

struct tls_library {
    OSSL_LIB_CTX *context;
    X509_STORE *roots;      /* those of the system; shared by all who trust them */
    const char *roots_path; /* where they came from; NULL: there are none */
};

/* 0 or -ENOMEM. A system without trusted roots is no failure: nothing verifies then. */
int tls_library_init(struct tls_library *library);
void tls_library_deinit(struct tls_library *library);

#endif
