/*
 * The old daemon's part of handing over, see proto/handover.h: what it says to a successor, once it knows what it has.
 *
 * Nothing waits for the successor, which may be slow, silent or gone: the conversation is a socket of the engine.
 */
#ifndef OCHE_DAEMON_HANDOVER_H
#define OCHE_DAEMON_HANDOVER_H

#include "daemon/engine.h"
#include "daemon/estate.h"
#include "daemon/rendezvous.h"

struct handover;

/* What a successor is offered. All descriptors stay the caller's, open until the answer. */
struct handover_offer {
    int door; /* the listening socket */
    const struct rendezvous *rendezvous;
    const struct estate *estate;
};

/* Takes over `fd`. `answered` comes once after handover_offer(), in the loop: 0, the successor has taken everything,
 * and waits for handover_confirm(); or a negative errno, it has not, and handover_refuse() is to follow. NULL: out of
 * memory, and the descriptor stays the caller's. */
struct handover *handover_new(struct engine_share *share, int fd, void (*answered)(void *owner, int error),
                              void *owner);

/* Makes the offer, and gives the successor `limit` milliseconds to take it. */
void handover_offer(struct handover *handover, const struct handover_offer *offer, uint64_t limit);

/* Nothing is accepted here any more. Ends the conversation, and frees it at the end of the turn. */
void handover_confirm(struct handover *handover);

/* The daemon does not hand over. Ends the conversation at any time, and frees it at the end of the turn. */
void handover_refuse(struct handover *handover);

#endif
