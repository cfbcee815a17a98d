#include "tools/benchmark/arguments.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "A server for the load generator; it prints its port on 127.0.0.1, and serves until it is killed.\n"
    "\n"
    "  --mode MODE        echo, sink, source, accept; or connect, which is a client of a server in mode accept\n"
    "  --write-size N     source: bytes of a write (1 to 16777216; default 65536)\n"
    "  --in-flight N      source: writes, connect: connections, at once (1 to 1024; default 8)\n"
    "  --port PORT        connect: of the server\n"
    "  --warm-up MS       connect: not measured (default 200)\n"
    "  --duration MS      connect: measured (1 to 60000; default 1000)\n"
    "  --count N          connect: ends after so many connections at the latest (default 1000000000)\n";

static const struct option long_options[] = {
    {"mode", required_argument, NULL, 'm'},
    {"write-size", required_argument, NULL, 'w'},
    {"in-flight", required_argument, NULL, 'i'},
    {"port", required_argument, NULL, 'p'},
    {"warm-up", required_argument, NULL, 'u'},
    {"duration", required_argument, NULL, 'd'},
    {"count", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char *const mode_names[] = {
    [MODE_ECHO] = "echo",     [MODE_SINK] = "sink",       [MODE_SOURCE] = "source",
    [MODE_ACCEPT] = "accept", [MODE_CONNECT] = "connect",
};

uint64_t arguments_number(const char *text, uint64_t minimum, uint64_t maximum)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < minimum || value > maximum)
        errx(2, "'%s' is not a number from %llu to %llu", text, (unsigned long long)minimum,
             (unsigned long long)maximum);
    return value;
}

static enum server_mode mode_of(const char *text)
{
    for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++) {
        if (strcmp(text, mode_names[i]) == 0)
            return (enum server_mode)i;
    }
    errx(2, "there is no mode '%s'. Try --help", text);
}

void arguments_end(int argc, char **argv)
{
    if (optind < argc)
        errx(2, "what is '%s'? Try --help", argv[optind]);
}

void arguments_parse(int argc, char **argv, struct server_options *options)
{
    *options = (struct server_options){
        .write_size = 65536,
        .in_flight = 8,
        .limits = {.warm_up_ms = 200, .duration_ms = 1000, .count = 1000000000},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
        switch (option) {
        case 'm':
            options->mode = mode_of(optarg);
            break;
        case 'w':
            options->write_size = arguments_number(optarg, 1, 1 << 24);
            break;
        case 'i':
            options->in_flight = (unsigned)arguments_number(optarg, 1, 1024);
            break;
        case 'p':
            options->port = (uint16_t)arguments_number(optarg, 1, UINT16_MAX);
            break;
        case 'u':
            options->limits.warm_up_ms = arguments_number(optarg, 0, 60000);
            break;
        case 'd':
            options->limits.duration_ms = arguments_number(optarg, 1, 60000);
            break;
        case 'n':
            options->limits.count = arguments_number(optarg, 1, UINT64_MAX);
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            exit(2);
        }
    }
    arguments_end(argc, argv);
    if (options->mode == MODE_CONNECT && options->port == 0)
        errx(2, "--port is missing. Try --help");
}
