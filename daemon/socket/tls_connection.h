/*
 * TLS on connections: from the beginning, or of one that is open; by a client, or by what a listener has accepted.
 *
 * A connection on which the handshake fails is of no use any more. Functions that return a code answer nothing when it
 * is negative.
 */
#ifndef OCHE_DAEMON_SOCKET_TLS_CONNECTION_H
#define OCHE_DAEMON_SOCKET_TLS_CONNECTION_H

#include "daemon/socket/connection.h"

struct payload;
struct tls_context;

/* What a client expects of a server. */
struct tls_expectation {
    struct tls_context *context;
    const char *server_name; /* or IP address */
    bool asks;               /* if the certificate does not verify, the request completes with words, and the handshake
                                waits for tls_connection_trust() */
};

/* As connection_connect(); the request is completed when the handshake is done. */
int tls_connection_connect(struct request *request, const struct connection_target *target,
                           const struct tls_expectation *expected, int *os_error);

/* Shakes hands on a connection that was taken: the owner is told what comes of it. */
void tls_connection_accept(struct connection *connection, struct tls_context *context, connection_secured *secured,
                           void *owner);

/* Completes the ACCEPT with a connection of which `secured` was told. */
void tls_connection_hand_over(struct connection *connection, struct request *request);

/* Puts TLS on an open connection, on which nothing is under way; it begins with the bytes, which came too early. As a
 * client, or, if `expected` has no name, as a server. 0: the request is held. */
int tls_connection_secure(struct socket *socket, struct request *request, const struct tls_expectation *expected,
                          const struct payload *payload);

/* Goes on after the client was asked. 0: the request is held. */
int tls_connection_trust(struct socket *socket, struct request *request);

/* Completes the request with an item of daemon/tls/tls_info.h. 0, or a code. */
int tls_connection_info(struct socket *socket, struct request *request, int64_t item);

#endif
