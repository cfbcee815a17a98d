/*
 * What connections with TLS have in common. It can be replaced, for connections that are to come; those that are there
 * go on with what they have.
 */
#ifndef OCHE_DAEMON_TLS_TLS_CONTEXT_H
#define OCHE_DAEMON_TLS_TLS_CONTEXT_H

#include "daemon/tls/tls_settings.h"

#include <openssl/types.h>
#include <stdbool.h>

struct tls_context;
struct tls_library;

/* NULL: *why is a sentence that says what is wrong with the settings, or that there is no memory. Nothing of the
 * settings is kept but copies. The library has to live as long as the context and its connections. */
struct tls_context *tls_context_new(const struct tls_library *library, const struct tls_settings *settings,
                                    const char **why);

/* NULL, or a sentence as above: then nothing has changed. */
const char *tls_context_replace(struct tls_context *context, const struct tls_library *library,
                                const struct tls_settings *settings);

/* Another owner, who frees it, too. */
struct tls_context *tls_context_share(struct tls_context *context);

/* Connections that are open keep what they have of it. NULL is fine. */
void tls_context_free(struct tls_context *context);

/* As in daemon/tls/tls_credentials.h. */
SSL *tls_context_client(struct tls_context *context, const char *server_name, bool asks);
SSL *tls_context_server(struct tls_context *context);

#endif
