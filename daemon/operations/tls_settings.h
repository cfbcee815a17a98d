/*
 * What a client says of TLS: the settings of a context, and that a connection is to get it.
 */
#ifndef OCHE_DAEMON_OPERATIONS_TLS_SETTINGS_H
#define OCHE_DAEMON_OPERATIONS_TLS_SETTINGS_H

struct call;

/* Handlers, as in daemon/operations/call.h. TLS_CONTEXT, and TLS_REPLACE, whose call has a socket: the context. */
int tls_settings_context(struct call *call);

/* SECURE. */
int tls_settings_secure(struct call *call);

#endif
