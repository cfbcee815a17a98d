/*
 * The sessions that a client may resume, by the name of the server. The oldest make place for new ones.
 */
#ifndef OCHE_DAEMON_TLS_TLS_SESSIONS_H
#define OCHE_DAEMON_TLS_TLS_SESSIONS_H

#include "daemon/engine/list.h"

#include <openssl/ssl.h>

enum { TLS_SESSIONS_MAX = 64 };

struct tls_sessions {
    struct list all; /* the newest last */
    unsigned count;
};

void tls_sessions_init(struct tls_sessions *sessions);
void tls_sessions_deinit(struct tls_sessions *sessions);

/* Takes over `session`. Without memory it is forgotten. */
void tls_sessions_put(struct tls_sessions *sessions, const char *server_name, SSL_SESSION *session);

/* The newest session with that server, as the caller's own; NULL: there is none. One of TLS 1.3 is taken out, for a
 * ticket that is shown twice tells who watches that it is the same client (RFC 8446, C.4). */
SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, const char *server_name);

#endif
