/*
 * A bequest: what a daemon leaves to a successor that has asked for it, and the way there.
 *
 * The workers list their listeners; the successor is offered them, and the door, and takes them, or nothing has
 * happened; the workers close theirs, and tell their clients; then the successor hears that it is the only one. Nothing
 * of it waits, so clients are let in meanwhile. One successor at a time; one more may wait.
 */
#ifndef OCHE_DAEMON_BEQUEST_H
#define OCHE_DAEMON_BEQUEST_H

#include "daemon/engine.h"
#include "daemon/estate.h"
#include "daemon/rendezvous.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct door;
struct handover;
struct worker;

/* Whose bequest it is. */
struct bequest_giver {
    struct engine_share *share; /* of the loop that all of this runs in */
    struct worker *const *workers;
    unsigned worker_count;
    const struct rendezvous *rendezvous;
    const struct door *door;
    uint64_t limit; /* milliseconds for a successor to take what it is offered */
    /* A successor has everything: nobody may be let in any more, and the daemon is to leave. The workers know. */
    void (*given)(void *context, uint32_t listeners);
    void *context;
};

struct bequest {
    struct bequest_giver giver;
    struct estate estate;
    struct handover *successor; /* that is being served; NULL: none */
    bool listing;               /* workers may still put something into the estate */
    bool giving;                /* the successor has taken it, and workers may still accept something */
    bool over;                  /* given, or the daemon leaves: nobody gets anything any more */
    _Atomic int asking;         /* the conversation with a successor that waits for its turn; -1: none */
};

void bequest_init(struct bequest *bequest);
/* When the workers have ended, and before the engine is freed. */
void bequest_deinit(struct bequest *bequest);

/* A successor has asked. Takes over `fd`, and wakes the loop, which is to call bequest_go_on(). From any thread, once
 * the giver is set. */
void bequest_ask(struct bequest *bequest, int fd);

/* Goes on, as far as it can. To be called whenever a worker says that something has changed, too. */
void bequest_go_on(struct bequest *bequest);

/* A successor is being served. */
bool bequest_is_under_way(const struct bequest *bequest);

/* The daemon leaves, and keeps what it has. */
void bequest_withdraw(struct bequest *bequest);

#endif
