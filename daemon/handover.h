/*
 * The old daemon's part of handing over, see proto/handover.h: what it says to a successor, once it knows what it has.
 */
#ifndef OCHE_DAEMON_HANDOVER_H
#define OCHE_DAEMON_HANDOVER_H

#include "daemon/estate.h"
#include "daemon/rendezvous.h"

/* Offers the listening socket `door`, the lock and the estate to the successor behind `fd`, and waits for it to take
 * them. Blocks, for `limit` milliseconds at most. 0: it has taken them, and waits for handover_confirm(). A negative
 * errno: it has not, and handover_refuse() is to follow. All descriptors stay the caller's. */
int handover_offer(int fd, int64_t limit, int door, const struct rendezvous *rendezvous, const struct estate *estate);

/* Nothing is accepted here any more. */
void handover_confirm(int fd);

/* The daemon does not hand over. */
void handover_refuse(int fd);

#endif
