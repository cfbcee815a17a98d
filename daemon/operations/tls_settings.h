/*
 * The settings of a TLS context, out of what a client has sent.
 */
#ifndef OCHE_DAEMON_OPERATIONS_TLS_SETTINGS_H
#define OCHE_DAEMON_OPERATIONS_TLS_SETTINGS_H

struct call;

/* A handler; see daemon/operations/call.h. */
int tls_settings_handle(struct call *call);

/* The same for a connection that is to get TLS. */
int tls_settings_secure(struct call *call);

#endif
