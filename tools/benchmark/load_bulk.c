/*
 * Bulk: one connection, one direction, blocking calls with a large buffer, which is the least work a client can have.
 */
#include "tools/benchmark/clock.h"
#include "tools/benchmark/load.h"
#include "tools/benchmark/sockets.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, WAIT_S = 5 };

/* A connection whose calls fail with EAGAIN after WAIT_S. */
static int connect_to_server(const struct load *load)
{
    struct timeval limit = {.tv_sec = WAIT_S};
    int fd = sockets_connect(0, load->port);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        err(1, "setsockopt");
    return fd;
}

static void *chunk_new(void)
{
    void *chunk = calloc(1, CHUNK);
    if (!chunk)
        err(1, "calloc");
    return chunk;
}

/* The server's answer to the end of the stream: how many bytes it got, in eight bytes, most significant first. */
static uint64_t receive_count(int fd)
{
    uint8_t bytes[8];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_WAITALL);
    if (n < 0)
        err(1, "recv of the server's count");
    if (n != sizeof bytes)
        errx(1, "the server has closed the connection without its count");
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        count = count << 8 | bytes[i];
    return count;
}

void load_send(const struct load *load)
{
    void *chunk = chunk_new();
    int fd = connect_to_server(load);
    struct measurement measurement;
    uint64_t sent = 0;
    measurement_start(&measurement, &load->limits);
    while (measurement_goes_on(&measurement, clock_now())) {
        ssize_t n = send(fd, chunk, CHUNK, MSG_NOSIGNAL);
        if (n < 0)
            err(1, "send");
        sent += (uint64_t)n;
        measurement_add_bytes(&measurement, clock_now(), (uint64_t)n);
    }
    /* What was sent is measured when it has been received. */
    shutdown(fd, SHUT_WR);
    uint64_t received = receive_count(fd);
    if (received != sent)
        errx(1, "%" PRIu64 " bytes were sent, the server got %" PRIu64, sent, received);
    measurement_end(&measurement, clock_now());
    close(fd);
    free(chunk);
}

void load_receive(const struct load *load)
{
    void *chunk = chunk_new();
    int fd = connect_to_server(load);
    struct measurement measurement;
    uint64_t received = 0;
    measurement_start(&measurement, &load->limits);
    while (measurement_goes_on(&measurement, clock_now())) {
        ssize_t n = recv(fd, chunk, CHUNK, 0);
        if (n < 0)
            err(1, "recv");
        if (n == 0)
            errx(1, "the server has closed the connection");
        received += (uint64_t)n;
        measurement_add_bytes(&measurement, clock_now(), (uint64_t)n);
    }
    measurement_end(&measurement, clock_now());
    close(fd);
    free(chunk);
}
