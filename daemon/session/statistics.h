/*
 * Counters of the whole daemon, for the STATISTICS request and the log. Any thread; exact, but not a snapshot: each
 * number is read by itself.
 */
#ifndef OCHE_DAEMON_SESSION_STATISTICS_H
#define OCHE_DAEMON_SESSION_STATISTICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

struct statistics {
    time_t started; /* CLOCK_MONOTONIC, seconds */
    _Atomic uint64_t sessions_open;
    _Atomic uint64_t sessions_total;
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_made;
    _Atomic uint64_t bytes_received;
    _Atomic uint64_t bytes_sent;
    _Atomic uint64_t handshakes; /* of TLS, that were completed */
    _Atomic uint64_t handshakes_resumed;
    _Atomic uint64_t handshakes_failed;
};

static inline void statistics_add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t statistics_read(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
