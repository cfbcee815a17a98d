/*
 * A histogram of latencies, in nanoseconds: 32 buckets for each power of two, so that a quantile is right to about 3 %
 * from nanoseconds to minutes, adding costs a few instructions, and nothing is allocated.
 */
#ifndef OCHE_BENCHMARK_HISTOGRAM_H
#define OCHE_BENCHMARK_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 5,
    HISTOGRAM_BITS = 40, /* larger values count as the largest */
    HISTOGRAM_BUCKETS = (HISTOGRAM_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

/* All zero: empty. */
struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that the given share (0 to 1) of all values does not exceed; 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
