/*
 * The successor's part of handing over, see proto/handover.h: how it gets what the daemon before it has.
 */
#ifndef OCHE_DAEMON_PROCESS_HANDOVER_TAKE_H
#define OCHE_DAEMON_PROCESS_HANDOVER_TAKE_H

#include "daemon/handover/handover_items.h"
#include "daemon/handover/handover_key.h"
#include "daemon/process/file_id.h"

#include <sys/un.h>

struct handover_take {
    int predecessor;       /* the conversation with the daemon that serves */
    int door;              /* its listening socket */
    int lock;              /* -1: it has none */
    struct file_id socket; /* the socket file, if it is the daemon's to remove */
};

/* Asks the daemon at the address for all that it has, and shows the key. 0, *take and *items: it is offered, and
 * everything in *take is the caller's. A negative errno, and there is nothing: -EACCES, the key is not the
 * daemon's; -EBUSY, it keeps what it has; -ETIMEDOUT, it does not answer; others, nobody serves there, or died
 * meanwhile. Blocks, for HANDOVER_TIME_LIMIT to connect and as long again at most. */
int handover_take_ask(const struct sockaddr_un *address, const struct handover_key *key, struct handover_take *take,
                      struct handover_items *items);

/* Takes what was offered, and closes the conversation. 0: it is ours alone. -EBUSY: the daemon serves on. Another
 * negative errno: it did not answer. */
int handover_take_confirm(struct handover_take *take);

#endif
