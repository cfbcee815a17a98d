/*
 * What a client measures: operations and their latencies, between the end of the warm-up and the end of the run.
 *
 * Two lines of JSON on stdout tell the runner about it: {"event": "begin"} when the warm-up is over, so that it can
 * read the processor time of the servers, and {"event": "end", ...} with the numbers, among them the processor time
 * (cpu_seconds) and the context switches of the client itself. A run is bounded by time and by
 * count, and a run in which nothing happens for long ends the program with an error.
 */
#ifndef OCHE_BENCHMARK_MEASUREMENT_H
#define OCHE_BENCHMARK_MEASUREMENT_H

#include "tools/benchmark/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

enum {
    MEASUREMENT_WAIT_MS = 100, /* wait no longer for events, then ask measurement_goes_on() */
};

struct measurement_limits {
    uint64_t warm_up_ms;
    uint64_t duration_ms; /* after the warm-up */
    uint64_t count;       /* of operations, or of parts of a stream, warm-up included */
};

struct measurement {
    struct measurement_limits limits;
    uint64_t begin_at;
    uint64_t began;
    uint64_t total; /* operations, warm-up included */
    uint64_t last_progress;
    struct rusage usage; /* when it began */

    /* since it began */
    uint64_t operations;
    uint64_t bytes;
    uint64_t stalls; /* operations that took unreasonably long */
    struct histogram latencies;
};

void measurement_start(struct measurement *measurement, const struct measurement_limits *limits);

/* Call it in each turn. False: the run is over. */
bool measurement_goes_on(struct measurement *measurement, uint64_t now);

/* An operation of so many bytes, from `start` to `now`, has been completed. */
void measurement_add(struct measurement *measurement, uint64_t start, uint64_t now, uint64_t bytes);

/* A part of a stream has moved; for workloads without operations. */
void measurement_add_bytes(struct measurement *measurement, uint64_t now, uint64_t bytes);

/* An operation that began at `start` has not been completed at the end: it may be a stall. */
void measurement_add_unfinished(struct measurement *measurement, uint64_t start, uint64_t now);

/* Prints the numbers. */
void measurement_end(const struct measurement *measurement, uint64_t now);

#endif
