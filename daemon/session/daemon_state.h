/*
 * The state of the daemon that all workers share: limits and policy, which never change, counters, which are atomic,
 * and what has a lock of its own.
 */
#ifndef OCHE_DAEMON_SESSION_DAEMON_STATE_H
#define OCHE_DAEMON_SESSION_DAEMON_STATE_H

#include "daemon/session/descriptors.h"
#include "daemon/session/limits.h"
#include "daemon/session/statistics.h"
#include "daemon/tls/tls_roots.h"
#include "daemon/tls/tls_tickets.h"

struct accept_queues;
struct handover_items;
struct handover_key;
struct policy;

struct daemon_state {
    struct limits limits;
    const struct policy *policy;
    struct statistics statistics;
    struct descriptors descriptors;
    struct accept_queues *accept_queues;
    struct tls_roots tls_roots;
    struct tls_tickets tls_tickets;
    atomic_int refused_sessions;        /* there are now; see REFUSED_AT_ONCE */
    struct handover_items *unclaimed;   /* listeners that sessions of a daemon before this one have not claimed yet */
    const struct handover_key *key;     /* what a successor that asks must show */
    void (*ask)(void *context, int fd); /* a successor wants all that we have; takes over `fd`; from any thread */
    void *context;                      /* of `ask` */
    atomic_llong starvation_logged;     /* CLOCK_MONOTONIC, seconds; see daemon/socket/listener.c */
};

#endif
