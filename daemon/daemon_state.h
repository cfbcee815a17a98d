/*
 * What all workers share: limits and policy, which never change, counters, which are atomic, and the accept queues,
 * which have a lock.
 */
#ifndef OCHE_DAEMON_SHARED_H
#define OCHE_DAEMON_SHARED_H

#include "daemon/accept_queue.h"
#include "daemon/descriptors.h"
#include "daemon/estate.h"
#include "daemon/handover_key.h"
#include "daemon/limits.h"
#include "daemon/policy.h"
#include "daemon/statistics.h"

struct shared {
    struct limits limits;
    const struct policy *policy;
    struct statistics statistics;
    struct descriptors descriptors;
    struct accept_queues accept_queues;
    atomic_int refused_sessions;        /* there are now; see REFUSED_AT_ONCE */
    struct estate *estate;              /* listeners that sessions of a daemon before this one have not claimed yet */
    struct handover_key key;            /* what a successor that asks must show */
    void (*ask)(void *context, int fd); /* a successor wants all that we have; takes over `fd`; from any thread */
    void *context;                      /* of `ask` */
    atomic_llong starvation_logged;     /* CLOCK_MONOTONIC, seconds; see daemon/listener.c */
};

#endif
