/*
 * What all workers share: limits and policy, which never change, and counters, which are atomic.
 */
#ifndef OCHE_DAEMON_SHARED_H
#define OCHE_DAEMON_SHARED_H

#include "daemon/descriptors.h"
#include "daemon/limits.h"
#include "daemon/policy.h"
#include "daemon/statistics.h"

struct shared {
    struct limits limits;
    const struct policy *policy;
    struct statistics statistics;
    struct descriptors descriptors;
    atomic_int refused_sessions;    /* there are now; see REFUSED_AT_ONCE */
    atomic_llong starvation_logged; /* CLOCK_MONOTONIC, seconds; see daemon/listener.c */
};

#endif
