/*
 * A hostile client of the daemon, for tools/benchmark/fairness.py: many sessions on the plain lane, each of which
 * always has tiny requests waiting in its socket. It speaks frames itself, because the library would be in its way, and
 * makes them once, so that it costs itself as little as it can.
 *
 * With --burn it does not touch the daemon, and uses so much of a processor instead: what it is compared with.
 *
 * Prints {"event": "ready"} when it is at work, and ends by itself.
 */
#include "proto/frame.h"
#include "tools/benchmark/arguments.h"
#include "tools/benchmark/clock.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MAX = 1024, FLOOD = 64 * 1024, SLICE_NS = 2 * 1000 * 1000 };

static const char help[] =
    "usage: hostile --flood statistics|connect [OPTION]... | hostile --burn THOUSANDTHS\n"
    "\n"
    "  --socket PATH    of the daemon\n"
    "  --flood REQUEST  which request is made, over and over: connects go to a port nobody serves\n"
    "  --sessions N     that do it (1 to 1024; default 1)\n"
    "  --burn N         use so many thousandths of a processor (1 to 1000)\n"
    "  --duration MS    after which it ends (default 1000)\n";

struct hostile {
    const char *socket_path;
    const char *flood;
    unsigned sessions;
    unsigned burn;
    uint64_t end; /* of clock_now() */
    uint8_t frames[FLOOD];
    size_t length;
    size_t sent[SESSIONS_MAX]; /* of `frames`, by session */
    struct pollfd polls[SESSIONS_MAX];
};

static void ready(void)
{
    puts("{\"event\": \"ready\"}");
    fflush(stdout);
}

static size_t put_frame(uint8_t *out, uint16_t opcode, const uint8_t *body, size_t length)
{
    const struct frame frame = {.opcode = opcode, .body_length = (uint16_t)length, .request_id = 1};
    frame_encode(&frame, out);
    memcpy(out + FRAME_HEADER_SIZE, body, length);
    return FRAME_HEADER_SIZE + length;
}

/* As many requests as fit. */
static void make_frames(struct hostile *hostile)
{
    /* Connect: address (field 1, 4 bytes) 127.0.0.1, port (field 2) 1. */
    static const uint8_t body[] = {0x0a, 4, 127, 0, 0, 1, 0x10, 1};
    bool connects = strcmp(hostile->flood, "connect") == 0;
    size_t size = FRAME_HEADER_SIZE + (connects ? sizeof body : 0);
    while (hostile->length + size <= FLOOD)
        hostile->length += put_frame(hostile->frames + hostile->length, connects ? FRAME_CONNECT : FRAME_STATISTICS,
                                     body, connects ? sizeof body : 0);
}

static int open_session(const char *path)
{
    /* Hello: version_min, field 1, and version_max, field 2. */
    static const uint8_t body[] = {0x08, FRAME_VERSION_MIN, 0x10, FRAME_VERSION_MAX};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint8_t hello[FRAME_HEADER_SIZE + sizeof body];
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        err(1, "%s", path);
    size_t size = put_frame(hello, FRAME_HELLO, body, sizeof body);
    if (write(fd, hello, size) != (ssize_t)size)
        err(1, "hello");
    return fd;
}

static void serve(struct hostile *hostile, unsigned index)
{
    static uint8_t replies[1024 * 1024];
    struct pollfd *entry = &hostile->polls[index];
    if ((entry->revents & POLLIN) && recv(entry->fd, replies, sizeof replies, MSG_DONTWAIT) == 0)
        errx(1, "the daemon has hung up");
    if (!(entry->revents & POLLOUT))
        return;
    ssize_t sent = send(entry->fd, hostile->frames + hostile->sent[index], hostile->length - hostile->sent[index],
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        hostile->sent[index] = (hostile->sent[index] + (size_t)sent) % hostile->length;
    else if (errno != EAGAIN)
        err(1, "send");
}

static void flood(struct hostile *hostile)
{
    make_frames(hostile);
    for (unsigned i = 0; i < hostile->sessions; i++)
        hostile->polls[i] = (struct pollfd){.fd = open_session(hostile->socket_path), .events = POLLIN | POLLOUT};
    ready();
    while (clock_now() < hostile->end) {
        if (poll(hostile->polls, hostile->sessions, 100) < 0)
            err(1, "poll");
        for (unsigned i = 0; i < hostile->sessions; i++)
            serve(hostile, i);
    }
}

static void burn(const struct hostile *hostile)
{
    ready();
    for (uint64_t now = clock_now(); now < hostile->end; now = clock_now()) {
        const uint64_t busy = now + (uint64_t)SLICE_NS * hostile->burn / 1000;
        const struct timespec rest = {.tv_nsec = (long)((uint64_t)SLICE_NS * (1000 - hostile->burn) / 1000)};
        while (clock_now() < busy) {
        }
        nanosleep(&rest, NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},
        {"flood", required_argument, NULL, 'f'},
        {"sessions", required_argument, NULL, 'n'},
        {"burn", required_argument, NULL, 'b'},
        {"duration", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static struct hostile hostile = {.sessions = 1, .flood = "", .socket_path = ""};
    uint64_t duration_ms = 1000;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 's':
            hostile.socket_path = optarg;
            break;
        case 'f':
            hostile.flood = optarg;
            break;
        case 'n':
            hostile.sessions = (unsigned)arguments_number(optarg, 1, SESSIONS_MAX);
            break;
        case 'b':
            hostile.burn = (unsigned)arguments_number(optarg, 1, 1000);
            break;
        case 'd':
            duration_ms = arguments_number(optarg, 1, 600000);
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return 2;
        }
    }
    arguments_end(argc, argv);
    hostile.end = clock_now() + duration_ms * 1000000;
    if (hostile.burn)
        burn(&hostile);
    else if (strcmp(hostile.flood, "statistics") == 0 || strcmp(hostile.flood, "connect") == 0)
        flood(&hostile);
    else
        errx(2, "--flood is statistics or connect");
    return 0;
}
