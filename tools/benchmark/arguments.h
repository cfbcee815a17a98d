/* The numbers on a command line, and the options that all servers have. */
#ifndef OCHE_BENCHMARK_ARGUMENTS_H
#define OCHE_BENCHMARK_ARGUMENTS_H

#include "tools/benchmark/measurement.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the program with a message unless the text is a number from minimum to maximum. */
uint64_t arguments_number(const char *text, uint64_t minimum, uint64_t maximum);

/* Behind the options: ends the program with a message if there is something. */
void arguments_end(int argc, char **argv);

enum server_mode {
    MODE_ECHO,    /* sends back what comes, until the client has sent everything */
    MODE_SINK,    /* receives everything, then answers with the count: eight bytes, most significant first */
    MODE_SOURCE,  /* sends until the client closes */
    MODE_ACCEPT,  /* closes each connection at once */
    MODE_CONNECT, /* is a client, of a server in MODE_ACCEPT: connects and closes, and measures it */
};

struct server_options {
    enum server_mode mode;
    size_t write_size;                /* MODE_SOURCE */
    unsigned in_flight;               /* writes of MODE_SOURCE, connections of MODE_CONNECT */
    uint16_t port;                    /* MODE_CONNECT */
    struct measurement_limits limits; /* MODE_CONNECT */
    bool quiet_writes;                /* MODE_ECHO: nothing is posted when a write is done; not an argument */
};

void arguments_parse(int argc, char **argv, struct server_options *options);

#endif
