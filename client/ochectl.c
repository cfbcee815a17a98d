/*
 * ochectl: asks a running daemon about itself. A program like any other that uses oche.h, and a client like any other
 * for the daemon.
 */
#include "client/connect/paths.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <oche/oche.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3 };
enum { ANSWER_MS = 5000 /* as for opening a session */ };

static const char help[] =
    "Usage: ochectl [OPTION]... statistics\n"
    "Asks the oche daemon of this user, and never starts one.\n"
    "\n"
    "  statistics     what the daemon has done, and what the sessions of this user use, may use and were\n"
    "                 refused; the session with which ochectl asks is one of them\n"
    "\n"
    "  --socket PATH  where the daemon serves; default $OCHE_SOCKET, else\n"
    "                 $XDG_RUNTIME_DIR/oche/oched.sock, else /tmp/oche-UID/oched.sock\n"
    "  --json         print an object in JSON\n"
    "  --version      print the version and leave\n"
    "  --help         print this help and leave\n"
    "\n"
    "Exit status: 0 the daemon has answered, 1 it has not, 2 wrong command line, 3 there is none.\n";

/* What there is one number of. */
static const struct number {
    const char *name, *text;
    size_t offset;
} numbers[] = {
    {"uptime_seconds", "seconds since the start", offsetof(struct oche_statistics, uptime_seconds)},
    {"sessions_open", "sessions open", offsetof(struct oche_statistics, sessions_open)},
    {"sessions_total", "sessions since the start", offsetof(struct oche_statistics, sessions_total)},
    {"sockets_open", "sockets open", offsetof(struct oche_statistics, sockets_open)},
    {"connections_accepted", "connections accepted", offsetof(struct oche_statistics, connections_accepted)},
    {"connections_made", "connections made", offsetof(struct oche_statistics, connections_made)},
    {"handshakes", "TLS handshakes", offsetof(struct oche_statistics, handshakes)},
    {"handshakes_resumed", "of them resumed", offsetof(struct oche_statistics, handshakes_resumed)},
    {"handshakes_failed", "TLS handshakes failed", offsetof(struct oche_statistics, handshakes_failed)},
    {"bytes_received", "bytes received", offsetof(struct oche_statistics, bytes_received)},
    {"bytes_sent", "bytes sent", offsetof(struct oche_statistics, bytes_sent)},
};

static const struct number quotas[] = {
    {"sessions", "sessions", offsetof(struct oche_statistics, user_sessions)},
    {"handles", "sockets", offsetof(struct oche_statistics, user_handles)},
    {"queued_bytes", "bytes of unfinished writes", offsetof(struct oche_statistics, user_queued_bytes)},
    {"arena_bytes", "bytes of shared memory", offsetof(struct oche_statistics, user_arena_bytes)},
    {"requests", "unanswered requests", offsetof(struct oche_statistics, user_requests)},
    {"session_rate", "new sessions in a second", offsetof(struct oche_statistics, user_session_rate)},
    {"connection_rate", "new connections in a second", offsetof(struct oche_statistics, user_connection_rate)},
};

enum { NUMBERS = sizeof numbers / sizeof numbers[0], QUOTAS = sizeof quotas / sizeof quotas[0] };

static uint64_t number_in(const struct oche_statistics *statistics, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)statistics + offset, sizeof value);
    return value;
}

static struct oche_quota quota_in(const struct oche_statistics *statistics, size_t offset)
{
    struct oche_quota quota;
    memcpy(&quota, (const char *)statistics + offset, sizeof quota);
    return quota;
}

static void print_text(const struct oche_statistics *statistics)
{
    for (size_t i = 0; i < NUMBERS; i++)
        printf("%-27s %20" PRIu64 "\n", numbers[i].text, number_in(statistics, numbers[i].offset));
    printf("\n%-27s %20s %20s %10s\n", "all sessions of the user", "in use", "limit", "refused");
    for (size_t i = 0; i < QUOTAS; i++) {
        const struct oche_quota quota = quota_in(statistics, quotas[i].offset);
        printf("%-27s %20" PRIu64 " %20" PRIu64 " %10" PRIu64 "\n", quotas[i].text, quota.used, quota.limit,
               quota.refused);
    }
}

static void print_json(const struct oche_statistics *statistics)
{
    puts("{");
    for (size_t i = 0; i < NUMBERS; i++)
        printf("  \"%s\": %" PRIu64 ",\n", numbers[i].name, number_in(statistics, numbers[i].offset));
    printf("  \"user\": {\n    \"id\": %" PRIu64, statistics->user);
    for (size_t i = 0; i < QUOTAS; i++) {
        const struct oche_quota quota = quota_in(statistics, quotas[i].offset);
        printf(",\n    \"%s\": {\"used\": %" PRIu64 ", \"limit\": %" PRIu64 ", \"refused\": %" PRIu64 "}",
               quotas[i].name, quota.used, quota.limit, quota.refused);
    }
    puts("\n  }\n}");
}

/* 0, or a negative code. */
static int64_t ask(oche_session *session, struct oche_statistics *statistics)
{
    int64_t status = oche_get_statistics(session, 1, statistics);
    while (status == 0) {
        struct oche_completion completion = {.size = sizeof completion};
        if (oche_session_pop(session, &completion))
            return completion.result;
        struct pollfd pollfd = {.fd = oche_session_get_fd(session), .events = POLLIN};
        int ready = poll(&pollfd, 1, ANSWER_MS);
        status = ready == 0 ? TCP_ERR_TIMED_OUT : oche_session_dispatch(session);
    }
    return status;
}

/* TCP_ERR_DAEMON_UNAVAILABLE does not tell a socket at which nobody listens from a daemon that does not answer, or that
 * is not to be trusted. */
static bool is_served(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *path = paths_socket(socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is = false;
    if (path && strlen(path) < sizeof address.sun_path && fd >= 0) {
        memcpy(address.sun_path, path, strlen(path) + 1);
        is = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
             (errno != ENOENT && errno != ENOTDIR && errno != ECONNREFUSED);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return is;
}

static int show_statistics(const char *socket_path, bool json)
{
    const struct oche_session_options options = {
        .size = sizeof options,
        .socket_path = socket_path,
        .never_start = true,
        .lane = OCHE_LANE_PLAIN,
    };
    oche_session *session;
    int64_t status = oche_session_open(&options, &session);
    if (status < 0) {
        fprintf(stderr, "ochectl: %s\n", oche_last_error());
        return status == TCP_ERR_DAEMON_UNAVAILABLE && !is_served(socket_path) ? EXIT_NO_DAEMON : EXIT_FAILED;
    }
    struct oche_statistics statistics = {.size = sizeof statistics};
    status = ask(session, &statistics);
    oche_session_close(session);
    if (status < 0) {
        fprintf(stderr, "ochectl: the daemon does not answer: %s (%s)\n", oche_error_text(status),
                oche_error_name(status));
        return EXIT_FAILED;
    }
    if (json)
        print_json(&statistics);
    else
        print_text(&statistics);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_FINE;
    perror("ochectl: standard output");
    return EXIT_FAILED;
}

static int usage_error(void)
{
    fputs("ochectl: try 'ochectl --help'\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_VERSION, OPTION_HELP };
    static const struct option long_options[] = {
        {"socket", required_argument, NULL, OPTION_SOCKET},
        {"json", no_argument, NULL, OPTION_JSON},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    const char *socket_path = NULL;
    bool json = false;
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (code) {
        case OPTION_SOCKET:
            socket_path = optarg;
            break;
        case OPTION_JSON:
            json = true;
            break;
        case OPTION_VERSION:
            printf("ochectl %s\n", oche_version());
            return EXIT_FINE;
        case OPTION_HELP:
            fputs(help, stdout);
            return EXIT_FINE;
        default:
            return usage_error();
        }
    }
    if (argc - optind == 1 && strcmp(argv[optind], "statistics") == 0)
        return show_statistics(socket_path, json);
    if (optind < argc)
        fprintf(stderr, "ochectl: '%s': the one thing to ask for is 'statistics'\n",
                strcmp(argv[optind], "statistics") == 0 ? argv[optind + 1] : argv[optind]);
    else
        fputs("ochectl: what shall the daemon be asked?\n", stderr);
    return usage_error();
}
