/* The workloads of the load generator; load.c has the command line. Each prints what it measured, once. */
#ifndef OCHE_BENCHMARK_LOAD_H
#define OCHE_BENCHMARK_LOAD_H

#include "tools/benchmark/measurement.h"

#include <stddef.h>
#include <stdint.h>

struct load {
    struct measurement_limits limits;
    uint16_t port;
    unsigned connections; /* open, or in flight, at once */
    size_t size;          /* bytes of a message */
};

/* Each connection sends a message, waits until it is back, and again. */
void load_echo(const struct load *load);

/* Opens the connections, has one message echoed on each so that the server surely knows them, says "begin", and holds
 * them until the duration is over. */
void load_idle(const struct load *load);

/* Sends on one connection as fast as it can; the server says at the end how many bytes it got. */
void load_send(const struct load *load);

/* Receives on one connection as fast as it can. */
void load_receive(const struct load *load);

/* Connects and closes. This is the plain client that servers' clients are compared with. */
void load_connect(const struct load *load);

/* Connects, ends its stream, and waits for the server to close. */
void load_accept(const struct load *load);

#endif
