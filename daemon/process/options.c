#include "daemon/process/options.h"

#include "daemon/log/log_output.h"
#include "proto/arena.h"
#include "proto/handle.h"
#include "proto/handover.h"
#include "proto/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: oched [OPTION]...\n"
    "Serves TCP sockets to the programs of one user that are linked with liboche.\n"
    "\n"
    "  --socket PATH            where clients connect; default $OCHE_SOCKET, else\n"
    "                           $XDG_RUNTIME_DIR/oche/oched.sock, else /tmp/oche-UID/oched.sock;\n"
    "                           in a network namespace of its own oched-NUMBER.sock\n"
    "  --replace[=force]        take over from the daemon that serves there, with its listeners; force: end\n"
    "                           it if it does not answer\n"
    "  --foreground             stay in the foreground and log to standard error\n"
    "  --workers N              event loops, each a thread (1 to 64; default 1)\n"
    "  --method epoll|select|io_uring\n"
    "                           how the loops wait (default epoll; select serves some 750 sockets;\n"
    "                           io_uring needs Linux 6.1, and a system that allows it)\n"
    "  --idle-exit SECONDS      leave when there was no session for so long (default 0: never)\n"
    "  --drain-timeout SECONDS  how long unsent data may take to leave on SIGTERM (default 5)\n"
    "  --handover-timeout SECONDS\n"
    "                           how long a successor may take over what it is offered (default 5)\n"
    "  --log-level LEVEL        error, warning, info or debug (default info)\n"
    "  --log-file PATH          append the log to PATH; in the background the default is SOCKET.log\n"
    "  --log-size SIZE          bytes that the log's file may have, also with K, M or G; then it becomes\n"
    "                           PATH.1, and is begun anew (default 8M; 0: no limit)\n"
    "  --max-sessions N         sessions of a user open at once (default 1024)\n"
    "  --max-handles N          sockets open at once in a session (default 1048575)\n"
    "  --max-queued-bytes N     bytes of unfinished writes in a session, 64 more for each (default\n"
    "                           268435456)\n"
    "  --max-arena-bytes N      bytes of shared memory for data, in each direction of a session (default\n"
    "                           16777216; 0: sessions do without shared memory)\n"
    "  --user-max-handles N     sockets open at once in all sessions of a user together (default 1048575)\n"
    "  --user-max-queued-bytes N\n"
    "                           bytes of unfinished writes of a user (default 1073741824)\n"
    "  --user-max-arena-bytes N shared memory of a user for data, in each direction (default 1073741824)\n"
    "  --user-max-requests N    unanswered accepts, connects and writes of a user (default 1048576)\n"
    "  --user-max-session-rate N\n"
    "                           new sessions of a user in a second (default 1000; 0: no limit)\n"
    "  --user-max-connection-rate N\n"
    "                           new connections of a user in a second, made and accepted (default 50000;\n"
    "                           0: no limit)\n"
    "  --allow-connect ADDRESS[/PREFIX][:PORT[-PORT]]\n"
    "                           let clients connect there, and nowhere else; may be repeated (default:\n"
    "                           everywhere). IPv6 with ports: [ADDRESS][/PREFIX]:PORT\n"
    "  --allow-listen ADDRESS[/PREFIX][:PORT[-PORT]]\n"
    "                           let clients bind these local addresses, and no others; may be repeated\n"
    "                           (default: all)\n"
    "  --user NAME|UID          become this user, who is then the one to be served; for root only\n"
    "  --no-seccomp             do without the filter of system calls\n"
    "  --version                print the version and leave\n"
    "  --help                   print this help and leave\n"
    "\n"
    "Signals: SIGTERM and SIGINT send what is queued and leave, a second one leaves at once; SIGHUP reopens\n"
    "the log file; SIGUSR2 starts a successor with the same options and hands over to it.\n"
    "Exit status: 0 left in order, 1 failure, 2 wrong command line, 3 another daemon serves the socket.\n";

enum option_code {
    OPTION_SOCKET = 256,
    OPTION_REPLACE,
    OPTION_FOREGROUND,
    OPTION_WORKERS,
    OPTION_METHOD,
    OPTION_IDLE_EXIT,
    OPTION_DRAIN_TIMEOUT,
    OPTION_HANDOVER_TIMEOUT,
    OPTION_LOG_LEVEL,
    OPTION_LOG_FILE,
    OPTION_LOG_SIZE,
    OPTION_MAX_SESSIONS,
    OPTION_MAX_HANDLES,
    OPTION_MAX_QUEUED_BYTES,
    OPTION_MAX_ARENA_BYTES,
    OPTION_USER_MAX_HANDLES,
    OPTION_USER_MAX_QUEUED_BYTES,
    OPTION_USER_MAX_ARENA_BYTES,
    OPTION_USER_MAX_REQUESTS,
    OPTION_USER_MAX_SESSION_RATE,
    OPTION_USER_MAX_CONNECTION_RATE,
    OPTION_ALLOW_CONNECT,
    OPTION_ALLOW_LISTEN,
    OPTION_USER,
    OPTION_NO_SECCOMP,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"replace", optional_argument, NULL, OPTION_REPLACE},
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"method", required_argument, NULL, OPTION_METHOD},
    {"idle-exit", required_argument, NULL, OPTION_IDLE_EXIT},
    {"drain-timeout", required_argument, NULL, OPTION_DRAIN_TIMEOUT},
    {"handover-timeout", required_argument, NULL, OPTION_HANDOVER_TIMEOUT},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"log-file", required_argument, NULL, OPTION_LOG_FILE},
    {"log-size", required_argument, NULL, OPTION_LOG_SIZE},
    {"max-sessions", required_argument, NULL, OPTION_MAX_SESSIONS},
    {"max-handles", required_argument, NULL, OPTION_MAX_HANDLES},
    {"max-queued-bytes", required_argument, NULL, OPTION_MAX_QUEUED_BYTES},
    {"max-arena-bytes", required_argument, NULL, OPTION_MAX_ARENA_BYTES},
    {"user-max-handles", required_argument, NULL, OPTION_USER_MAX_HANDLES},
    {"user-max-queued-bytes", required_argument, NULL, OPTION_USER_MAX_QUEUED_BYTES},
    {"user-max-arena-bytes", required_argument, NULL, OPTION_USER_MAX_ARENA_BYTES},
    {"user-max-requests", required_argument, NULL, OPTION_USER_MAX_REQUESTS},
    {"user-max-session-rate", required_argument, NULL, OPTION_USER_MAX_SESSION_RATE},
    {"user-max-connection-rate", required_argument, NULL, OPTION_USER_MAX_CONNECTION_RATE},
    {"allow-connect", required_argument, NULL, OPTION_ALLOW_CONNECT},
    {"allow-listen", required_argument, NULL, OPTION_ALLOW_LISTEN},
    {"user", required_argument, NULL, OPTION_USER},
    {"no-seccomp", no_argument, NULL, OPTION_NO_SECCOMP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int usage_error(void)
{
    fputs("oched: try 'oched --help'\n", stderr);
    return 2;
}

static bool parse_number(const char *option, const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && number >= minimum && number <= maximum) {
        *value = number;
        return true;
    }
    fprintf(stderr, "oched: --%s: '%s' is not a whole number from %llu to %llu\n", option, text,
            (unsigned long long)minimum, (unsigned long long)maximum);
    return false;
}

static bool parse_log_size(const char *text, uint64_t *size)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    bool is_number = errno == 0 && text[0] >= '0' && text[0] <= '9' && end[shift ? 1 : 0] == '\0';
    if (is_number && number <= (uint64_t)INT64_MAX >> shift && (number == 0 || number << shift >= LOG_OUTPUT_LEAST)) {
        *size = number << shift;
        return true;
    }
    fprintf(stderr, "oched: --log-size: '%s' is neither 0 nor a number of bytes from %d on, like 65536, 64K or 1M\n",
            text, (int)LOG_OUTPUT_LEAST);
    return false;
}

/* The index of `text` in `names`, or -1 with a message. */
static int parse_name(const char *option, const char *text, const char *const *names, int count, const char *list)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    fprintf(stderr, "oched: --%s: '%s' is none of %s\n", option, text, list);
    return -1;
}

static bool parse_rule(const char *option, const char *text, struct policy_list *list)
{
    const char *wrong = policy_add(list, text);
    if (wrong)
        fprintf(stderr, "oched: --%s: '%s': %s\n", option, text, wrong);
    return !wrong;
}

/* The limits that are numbers; `code` is the option's. False: a message is printed. */
static bool parse_limit(struct limits *limits, int code, const char *name, const char *text)
{
    enum { RATE_MAX = 1000000 };
    uint64_t number = 0;
    switch (code) {
    case OPTION_MAX_SESSIONS:
        if (!parse_number(name, text, 1, 1000000, &number))
            return false;
        limits->sessions = (uint32_t)number;
        return true;
    case OPTION_MAX_HANDLES:
        if (!parse_number(name, text, 1, HANDLE_SLOT_MAX, &number))
            return false;
        limits->handles = (uint32_t)number;
        return true;
    case OPTION_MAX_QUEUED_BYTES:
        if (!parse_number(name, text, 65536, SIZE_MAX / 2, &number))
            return false;
        limits->queued_bytes = (size_t)number;
        return true;
    case OPTION_MAX_ARENA_BYTES:
        if (!parse_number(name, text, 0, ARENA_SIZE_MAX, &number))
            return false;
        limits->arena_bytes = (uint32_t)number;
        return true;
    case OPTION_USER_MAX_HANDLES:
        if (!parse_number(name, text, 1, UINT32_MAX, &number))
            return false;
        limits->user.handles = (uint32_t)number;
        return true;
    case OPTION_USER_MAX_QUEUED_BYTES:
        if (!parse_number(name, text, 65536, INT64_MAX / 2, &number))
            return false;
        limits->user.queued_bytes = (int64_t)number;
        return true;
    case OPTION_USER_MAX_ARENA_BYTES:
        if (!parse_number(name, text, 0, INT64_MAX / 2, &number))
            return false;
        limits->user.arena_bytes = (int64_t)number;
        return true;
    case OPTION_USER_MAX_REQUESTS:
        if (!parse_number(name, text, 1, UINT32_MAX, &number))
            return false;
        limits->user.requests = (uint32_t)number;
        return true;
    default:
        if (!parse_number(name, text, 0, RATE_MAX, &number))
            return false;
        if (code == OPTION_USER_MAX_SESSION_RATE)
            limits->user.session_rate = (uint32_t)number;
        else
            limits->user.connection_rate = (uint32_t)number;
        return true;
    }
}

/* False: a message is printed. */
static bool parse_one(struct options *options, int code, const char *name, const char *text)
{
    static const char *const methods[] = {"epoll", "select", "io_uring"};
    static const char *const forces[] = {"force"};
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    uint64_t number = 0;
    int index;

    switch (code) {
    case OPTION_SOCKET:
        options->socket_path = text;
        return true;
    case OPTION_REPLACE:
        options->replace = text ? REPLACE_FORCE : REPLACE_ASK;
        return !text || parse_name(name, text, forces, 1, "force") == 0;
    case OPTION_FOREGROUND:
        options->foreground = true;
        return true;
    case OPTION_LOG_FILE:
        options->log_path = text;
        return true;
    case OPTION_LOG_SIZE:
        return parse_log_size(text, &options->log_size);
    case OPTION_METHOD:
        index = parse_name(name, text, methods, 3, "epoll, select, io_uring");
        options->method = (enum engine_method)index;
        return index >= 0;
    case OPTION_LOG_LEVEL:
        index = parse_name(name, text, levels, 4, "error, warning, info, debug");
        options->log_level = index >= 0 ? (enum log_level)index : LOG_INFO;
        return index >= 0;
    case OPTION_WORKERS:
        if (!parse_number(name, text, 1, 64, &number))
            return false;
        options->workers = (unsigned)number;
        return true;
    case OPTION_IDLE_EXIT:
        if (!parse_number(name, text, 0, 1000000, &number))
            return false;
        options->idle_exit_s = (unsigned)number;
        return true;
    case OPTION_DRAIN_TIMEOUT:
        if (!parse_number(name, text, 0, 1000000, &number))
            return false;
        options->drain_timeout_s = (unsigned)number;
        return true;
    case OPTION_HANDOVER_TIMEOUT:
        if (!parse_number(name, text, 1, 1000000, &number))
            return false;
        options->handover_timeout_s = (unsigned)number;
        return true;
    case OPTION_MAX_SESSIONS:
    case OPTION_MAX_HANDLES:
    case OPTION_MAX_QUEUED_BYTES:
    case OPTION_MAX_ARENA_BYTES:
    case OPTION_USER_MAX_HANDLES:
    case OPTION_USER_MAX_QUEUED_BYTES:
    case OPTION_USER_MAX_ARENA_BYTES:
    case OPTION_USER_MAX_REQUESTS:
    case OPTION_USER_MAX_SESSION_RATE:
    case OPTION_USER_MAX_CONNECTION_RATE:
        return parse_limit(&options->limits, code, name, text);
    case OPTION_ALLOW_CONNECT:
        return parse_rule(name, text, &options->policy.connect);
    case OPTION_ALLOW_LISTEN:
        return parse_rule(name, text, &options->policy.listen);
    case OPTION_USER:
        options->user = text;
        return true;
    case OPTION_NO_SECCOMP:
        options->no_seccomp = true;
        return true;
    default:
        return false;
    }
}

int options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .workers = 1,
        .method = ENGINE_EPOLL,
        .drain_timeout_s = 5,
        .handover_timeout_s = HANDOVER_TIME_LIMIT / 1000,
        .log_level = LOG_INFO,
        .log_size = 8 << 20,
        .limits =
            {
                .sessions = 1024,
                .handles = HANDLE_SLOT_MAX,
                .queued_bytes = (size_t)256 << 20,
                .arena_bytes = 16 << 20,
                .user =
                    {
                        .handles = HANDLE_SLOT_MAX,
                        .queued_bytes = (int64_t)1 << 30,
                        .arena_bytes = (int64_t)1 << 30,
                        .requests = 1 << 20,
                        .session_rate = 1000,
                        .connection_rate = 50000,
                    },
            },
    };
    int code, index = 0;
    options->argument_count = optind;
    while ((code = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return 1;
        }
        if (code == OPTION_VERSION) {
            puts("oched " OCHE_VERSION);
            return 1;
        }
        if (code == '?' || !parse_one(options, code, long_options[index].name, optarg))
            return usage_error();
        options->argument_count = optind; /* getopt(3) passes over "--" when it has no more options to return */
    }
    if (optind < argc) {
        fprintf(stderr, "oched: '%s': oched takes options only\n", argv[optind]);
        return usage_error();
    }
    return 0;
}
