/*
 * A UDP socket of a session.
 *
 * Datagrams that come while the client has granted no credit stay in the kernel, which drops what it has no room for:
 * nothing is kept here. Those that are to be sent wait only when the kernel has no room, in their order, and each is
 * answered when the kernel has it, or has refused it. When the socket is closed those that still wait are dropped.
 */
#ifndef OCHE_DAEMON_SOCKET_DATAGRAM_H
#define OCHE_DAEMON_SOCKET_DATAGRAM_H

#include "daemon/session/request.h"
#include "daemon/session/socket.h"
#include "daemon/socket/address.h"

#include <stdbool.h>

extern const struct socket_kind datagram_kind;

struct datagram_target {
    struct address local;
    struct address peer; /* length 0: none */
    bool v6_only;
};

/* Makes the socket and completes the request: 0. Or a negative code with *os_error. */
int datagram_open(struct request *request, const struct datagram_target *target, int *os_error);

#endif
