#include "tools/benchmark/histogram.h"

#include <stddef.h>

/* Values below 2^SUB_BITS have a bucket each. Above, a bucket is named by the position of the highest bit and the
 * SUB_BITS bits that follow it. */
static size_t bucket_of(uint64_t value)
{
    if (value >> HISTOGRAM_BITS)
        return HISTOGRAM_BUCKETS - 1;
    if (value >> HISTOGRAM_SUB_BITS == 0)
        return value;
    unsigned highest = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = highest - HISTOGRAM_SUB_BITS;
    return ((size_t)shift << HISTOGRAM_SUB_BITS) + (value >> shift);
}

/* The largest value of the bucket. */
static uint64_t top_of(size_t bucket)
{
    if (bucket >> HISTOGRAM_SUB_BITS == 0)
        return bucket;
    size_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t leading = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((leading + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted || seen == histogram->count) {
            uint64_t top = top_of(i);
            return top < histogram->max ? top : histogram->max;
        }
    }
    return histogram->max;
}
