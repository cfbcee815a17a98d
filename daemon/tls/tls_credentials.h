/*
 * What settings have become: certificates, keys, trust and what is negotiated, ready for connections. They do not
 * change; connections keep them, for their handshakes look into them.
 */
#ifndef OCHE_DAEMON_TLS_TLS_CREDENTIALS_H
#define OCHE_DAEMON_TLS_TLS_CREDENTIALS_H

#include "daemon/tls/tls_settings.h"

#include <openssl/types.h>
#include <stdbool.h>

struct tls_credentials;
struct tls_library;

/* NULL: *why is a sentence that says what is wrong with the settings, or that there is no memory. Nothing of the
 * settings is kept but copies. The library has to live as long. */
struct tls_credentials *tls_credentials_new(const struct tls_library *library, const struct tls_settings *settings,
                                            const char **why);

/* Lets go of what was made. NULL is fine. */
void tls_credentials_free(struct tls_credentials *credentials);

/* For a connection to a server of that name or IP address, whose certificate has to be for it. `asks`: if it does not
 * verify the handshake stops, until tls_credentials_trust(). NULL: out of memory. */
SSL *tls_credentials_client(struct tls_credentials *credentials, const char *server_name, bool asks);

/* For a connection of a client. NULL: out of memory. */
SSL *tls_credentials_server(struct tls_credentials *credentials);

/* The handshake has stopped for a certificate, and may go on as if that had verified. */
void tls_credentials_trust(SSL *ssl);

#endif
