/*
 * The giving side of a handover: what a daemon leaves to a successor that has asked for it, and the way there.
 *
 * The workers put their listeners into `items`. The successor is offered these, and the door, and takes them, or
 * nothing has happened. The workers abandon theirs and tell their clients. Then the successor hears that it is the only
 * one. Nothing of it waits, for a successor may be slow, silent or gone: the conversation is a socket of the engine,
 * and clients are let in meanwhile. One successor at a time is served; one more may wait. proto/handover.h has the
 * words.
 */
#ifndef OCHE_DAEMON_PROCESS_HANDOVER_GIVE_H
#define OCHE_DAEMON_PROCESS_HANDOVER_GIVE_H

#include "daemon/engine/engine.h"
#include "daemon/handover/handover_items.h"
#include "daemon/process/rendezvous.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct door;
struct successor;
struct worker;

/* What takes part in it. */
struct handover_giver {
    struct time_slice *slice; /* of the loop that all of this runs in */
    struct worker *const *workers;
    unsigned worker_count;
    const struct rendezvous *rendezvous;
    const struct door *door;
    uint64_t limit; /* milliseconds for a successor to take what it is offered */
    /* A successor has everything: nobody may be let in any more, and the daemon is to leave. The workers know. */
    void (*given)(void *context, uint32_t listeners);
    void *context;
};

enum give_phase {
    GIVE_IDLE,    /* there is no successor */
    GIVE_LISTING, /* workers may still put something into the items */
    GIVE_OFFERED, /* the successor has not answered yet */
    GIVE_TAKEN,   /* it has taken all, and workers may still accept something */
};

struct handover_give {
    struct handover_giver giver;
    struct handover_items items;
    struct successor *successor; /* that is being served, unless it is GIVE_IDLE */
    enum give_phase phase;
    bool over;          /* given, or the daemon leaves: nobody gets anything any more */
    _Atomic int asking; /* the conversation with a successor that waits for its turn; -1: none */
};

void handover_give_init(struct handover_give *give);
/* When the workers have ended, and before the engine is freed. */
void handover_give_deinit(struct handover_give *give);

/* A successor has asked. Takes over `fd`, and wakes the loop, which is to call handover_give_go_on(). From any thread,
 * once the giver is set. */
void handover_give_ask(struct handover_give *give, int fd);

/* Goes on, as far as it can. To be called whenever a worker says that something has changed, too. */
void handover_give_go_on(struct handover_give *give);

/* A successor is being served. */
bool handover_give_is_under_way(const struct handover_give *give);

/* The daemon leaves, and keeps what it has. */
void handover_give_withdraw(struct handover_give *give);

#endif
