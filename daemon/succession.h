/*
 * The successor's part of handing over, see proto/handover.h: how it gets what the daemon before it has.
 */
#ifndef OCHE_DAEMON_SUCCESSION_H
#define OCHE_DAEMON_SUCCESSION_H

#include "daemon/estate.h"

#include <stdbool.h>
#include <sys/un.h>

struct succession {
    int predecessor; /* the conversation with the daemon that serves */
    int door;        /* its listening socket */
    int lock;        /* -1: it has none */
    bool bound;      /* the socket file is the daemon's to remove */
};

/* Asks the daemon at the address for all that it has. 0, *succession and *estate: it is offered, and everything in
 * *succession is the caller's. A negative errno: nobody serves there, or does not hand over, or died meanwhile; then
 * there is nothing. Blocks, for HANDOVER_TIME_LIMIT at most. */
int succession_ask(const struct sockaddr_un *address, struct succession *succession, struct estate *estate);

/* Takes what was offered, and closes the conversation. 0: it is ours alone. -EBUSY: the daemon serves on. Another
 * negative errno: it did not answer. */
int succession_take(struct succession *succession);

#endif
