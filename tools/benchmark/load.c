/*
 * The load generator: a plain client on epoll, the same for all servers, so that differences are theirs.
 *
 * One process and one thread. It speaks to loopback only, and ends by itself: --duration and --count bound every
 * workload. Output: see measurement.h.
 */
#include "tools/benchmark/load.h"
#include "tools/benchmark/arguments.h"
#include "tools/benchmark/sockets.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] = "usage: load --workload NAME --port PORT [OPTION]...\n"
                           "\n"
                           "  --workload NAME    echo, idle, send, receive, connect or accept\n"
                           "  --port PORT        of the server on 127.0.0.1\n"
                           "  --connections N    open at once, or in flight (1 to 15000; default 1)\n"
                           "  --size BYTES       of a message (8 to 1048576; default 64)\n"
                           "  --warm-up MS       not measured (default 200)\n"
                           "  --duration MS      measured (1 to 60000; default 1000)\n"
                           "  --count N          ends after so many operations at the latest (default 1000000000)\n";

static const struct {
    const char *name;
    void (*run)(const struct load *load);
} workloads[] = {
    {"echo", load_echo},       {"idle", load_idle},       {"send", load_send},
    {"receive", load_receive}, {"connect", load_connect}, {"accept", load_accept},
};

static const struct option options[] = {
    {"workload", required_argument, NULL, 'w'},
    {"port", required_argument, NULL, 'p'},
    {"connections", required_argument, NULL, 'c'},
    {"size", required_argument, NULL, 's'},
    {"warm-up", required_argument, NULL, 'u'},
    {"duration", required_argument, NULL, 'd'},
    {"count", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    struct load load = {
        .limits = {.warm_up_ms = 200, .duration_ms = 1000, .count = 1000000000},
        .connections = 1,
        .size = 64,
    };
    const char *workload = "";
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 'w':
            workload = optarg;
            break;
        case 'p':
            load.port = (uint16_t)arguments_number(optarg, 1, UINT16_MAX);
            break;
        case 'c':
            load.connections = (unsigned)arguments_number(optarg, 1, 15000);
            break;
        case 's':
            load.size = arguments_number(optarg, 8, 1 << 20);
            break;
        case 'u':
            load.limits.warm_up_ms = arguments_number(optarg, 0, 60000);
            break;
        case 'd':
            load.limits.duration_ms = arguments_number(optarg, 1, 60000);
            break;
        case 'n':
            load.limits.count = arguments_number(optarg, 1, UINT64_MAX);
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return 2;
        }
    }
    arguments_end(argc, argv);
    if (load.port == 0)
        errx(2, "--port is missing. Try --help");

    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strcmp(workloads[i].name, workload) == 0) {
            sockets_raise_limit();
            workloads[i].run(&load);
            return 0;
        }
    }
    errx(2, "there is no workload '%s'. Try --help", workload);
}
