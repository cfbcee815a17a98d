/*
 * The successor's part of handing over, see proto/handover.h: how it gets what the daemon before it has.
 */
#ifndef OCHE_DAEMON_SUCCESSION_H
#define OCHE_DAEMON_SUCCESSION_H

#include "daemon/estate.h"
#include "daemon/file_id.h"
#include "daemon/handover_key.h"

#include <sys/un.h>

struct succession {
    int predecessor;       /* the conversation with the daemon that serves */
    int door;              /* its listening socket */
    int lock;              /* -1: it has none */
    struct file_id socket; /* the socket file, if it is the daemon's to remove */
};

/* Asks the daemon at the address for all that it has, and shows the key. 0, *succession and *estate: it is offered, and
 * everything in *succession is the caller's. A negative errno, and there is nothing: -EACCES, the key is not the
 * daemon's; -EBUSY, it keeps what it has; -ETIMEDOUT, it does not answer; others, nobody serves there, or died
 * meanwhile. Blocks, for HANDOVER_TIME_LIMIT to connect and as long again at most. */
int succession_ask(const struct sockaddr_un *address, const struct handover_key *key, struct succession *succession,
                   struct estate *estate);

/* Takes what was offered, and closes the conversation. 0: it is ours alone. -EBUSY: the daemon serves on. Another
 * negative errno: it did not answer. */
int succession_take(struct succession *succession);

#endif
