/*
 * What sockets of all kinds take: their place in the session, a handle of the user's and a descriptor of the process.
 */
#ifndef OCHE_DAEMON_SESSION_SOCKET_H
#define OCHE_DAEMON_SESSION_SOCKET_H

#include "daemon/session/socket_kind.h"

/* For an object that is all zero. */
void socket_init(struct socket *socket, const struct socket_kind *kind, struct session *session);

/* Charges the user for a socket and the process for a descriptor. Positive: what is lacking, and nothing was taken;
 * when a socket of the user's, or any socket, is closed, the starved are tried again. */
enum socket_lack { SOCKET_LACKS_HANDLE = 1, SOCKET_LACKS_DESCRIPTOR };
int socket_charge(struct session *session);
void socket_give_back_charge(struct session *session);

/* Gives the socket a handle. 0, or the code with which to answer. */
int socket_enter_table(struct socket *socket);

/* The handle is free from now on. */
void socket_leave_table(struct socket *socket);

#endif
