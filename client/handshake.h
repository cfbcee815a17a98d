/*
 * The first exchange on a new connection: HELLO and its answer.
 */
#ifndef OCHE_CLIENT_HANDSHAKE_H
#define OCHE_CLIENT_HANDSHAKE_H

#include "client/deadline.h"

#include <stdint.h>

/* What the daemon grants. */
struct welcome {
    uint64_t session; /* its number in the daemon's log */
    uint64_t queued_bytes_max;
};

/* Besides 0 and negative OCHE_ERR_ codes: the daemon closed the connection. It may just be leaving.
 */
enum { HANDSHAKE_HUNG_UP = 1 };

/* Says hello on a connected, non-blocking socket, which stays the caller's. 0 and *welcome,
 * HANDSHAKE_HUNG_UP, or a negative OCHE_ERR_ code, whose reason is in the diagnostics;
 * OCHE_ERR_CLOSED: cancelled. */
int64_t handshake(int fd, const struct deadline *deadline, struct welcome *welcome);

#endif
