/*
 * A TLS context that a session has a handle of. It takes no descriptor, and counts as several of the user's handles,
 * for its memory. Connections that were begun with it keep it.
 */
#ifndef OCHE_DAEMON_SOCKET_TLS_HANDLE_H
#define OCHE_DAEMON_SOCKET_TLS_HANDLE_H

#include "daemon/session/request.h"
#include "daemon/session/socket.h"
#include "daemon/tls/tls_context.h"

extern const struct socket_kind tls_handle_kind;

/* Makes the context and completes the request, with words if the settings make no sense: 0. Or a negative code. */
int tls_handle_open(struct request *request, const struct tls_settings *settings);

/* Makes it anew, for handshakes to come, and completes the request: 0. Or a negative code. */
int tls_handle_replace(struct socket *socket, struct request *request, const struct tls_settings *settings);

/* NULL: the session has no such context. */
struct tls_context *tls_handle_find(struct session *session, int64_t handle);

#endif
