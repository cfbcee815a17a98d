/*
 * A certificate with its key, out of the forms that they come in.
 */
#ifndef OCHE_DAEMON_TLS_TLS_IDENTITY_H
#define OCHE_DAEMON_TLS_TLS_IDENTITY_H

#include "daemon/tls/tls_settings.h"

#include <openssl/types.h>

struct tls_library;

/* Connections of `ssl` show it. NULL, or what is wrong with it. */
const char *tls_identity_use(const struct tls_identity *identity, const struct tls_library *library, SSL_CTX *ssl);

#endif
