#include "tools/benchmark/measurement.h"

#include "tools/benchmark/clock.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    STALL_MS = 20, /* far more than the scheduler makes anybody wait, less than any timer of TCP */
    GIVE_UP_S = 5,
};

void measurement_start(struct measurement *measurement, const struct measurement_limits *limits)
{
    uint64_t now = clock_now();
    *measurement = (struct measurement){
        .limits = *limits,
        .begin_at = now + limits->warm_up_ms * NS_PER_MS,
        .last_progress = now,
    };
}

bool measurement_goes_on(struct measurement *measurement, uint64_t now)
{
    if (now - measurement->last_progress > GIVE_UP_S * NS_PER_S)
        errx(1, "nothing has happened for %d seconds", GIVE_UP_S);
    if (!measurement->began && now >= measurement->begin_at) {
        measurement->began = now;
        getrusage(RUSAGE_SELF, &measurement->usage);
        puts("{\"event\": \"begin\"}");
        fflush(stdout);
    }
    if (measurement->total >= measurement->limits.count)
        return false;
    return !measurement->began || now < measurement->began + measurement->limits.duration_ms * NS_PER_MS;
}

void measurement_add(struct measurement *measurement, uint64_t start, uint64_t now, uint64_t bytes)
{
    measurement->last_progress = now;
    measurement->total++;
    if (!measurement->began)
        return;
    measurement->operations++;
    measurement->bytes += bytes;
    histogram_add(&measurement->latencies, now - start);
    if (now - start > STALL_MS * NS_PER_MS)
        measurement->stalls++;
}

void measurement_add_bytes(struct measurement *measurement, uint64_t now, uint64_t bytes)
{
    measurement->last_progress = now;
    measurement->total++;
    if (measurement->began)
        measurement->bytes += bytes;
}

void measurement_add_unfinished(struct measurement *measurement, uint64_t start, uint64_t now)
{
    if (now - start > STALL_MS * NS_PER_MS)
        measurement->stalls++;
}

static double cpu_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

void measurement_end(const struct measurement *measurement, uint64_t now)
{
    const struct histogram *latencies = &measurement->latencies;
    const struct rusage *before = &measurement->usage;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = measurement->began ? (double)(now - measurement->began) / (double)NS_PER_S : 0.0;
    printf("{\"event\": \"end\", \"seconds\": %.6f, \"operations\": %" PRIu64 ", \"bytes\": %" PRIu64, seconds,
           measurement->operations, measurement->bytes);
    printf(", \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, \"stalls\": %" PRIu64,
           (double)histogram_quantile(latencies, 0.5) / 1e3, (double)histogram_quantile(latencies, 0.99) / 1e3,
           (double)latencies->max / 1e3, measurement->stalls);
    printf(", \"cpu_seconds\": %.6f, \"switches\": %ld}\n", cpu_seconds(&usage) - cpu_seconds(before),
           usage.ru_nvcsw + usage.ru_nivcsw - before->ru_nvcsw - before->ru_nivcsw);
    fflush(stdout);
}
