/*
 * The plain server: one thread, one epoll, a system call for each thing that must be done and none else. What it
 * reaches is the limit that the others are compared with.
 */
#include "tools/benchmark/arguments.h"
#include "tools/benchmark/sockets.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 64 * 1024 };

struct connection {
    int fd;
    bool listens;
    uint64_t received; /* sink */
    size_t rest_size;  /* echo: what did not fit into the socket */
    uint8_t *rest;
};

static struct server_options options;
static int epoll_fd;
static uint8_t *buffer;

static void watch(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) < 0)
        err(1, "epoll_ctl");
}

static struct connection *connection_new(int fd, bool listens, uint32_t events)
{
    struct connection *connection = malloc(sizeof *connection);
    if (!connection)
        err(1, "malloc");
    *connection = (struct connection){.fd = fd, .listens = listens};
    watch(connection, EPOLL_CTL_ADD, events);
    return connection;
}

static void connection_free(struct connection *connection)
{
    close(connection->fd);
    free(connection->rest);
    free(connection);
}

static void accept_all(int listener)
{
    for (;;) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll has the connections. */
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        if (fd < 0)
            err(1, "accept");
        if (options.mode == MODE_ACCEPT)
            close(fd);
        else
            connection_new(fd, false, options.mode == MODE_SOURCE ? EPOLLOUT : EPOLLIN);
    }
}

/* Bytes sent, 0 when the socket is full, -1 when the connection is broken. */
static ssize_t try_send(const struct connection *connection, const uint8_t *data, size_t size)
{
    ssize_t n = send(connection->fd, data, size, MSG_NOSIGNAL);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* The functions that serve a connection return false when it is over. */

static bool flush_rest(struct connection *connection)
{
    ssize_t n = try_send(connection, connection->rest, connection->rest_size);
    if (n < 0)
        return false;
    connection->rest_size -= (size_t)n;
    memmove(connection->rest, connection->rest + n, connection->rest_size);
    if (connection->rest_size == 0)
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

static bool echo(struct connection *connection)
{
    if (connection->rest_size > 0)
        return flush_rest(connection);
    ssize_t received = recv(connection->fd, buffer, BUFFER, 0);
    if (received < 0)
        return errno == EAGAIN;
    if (received == 0)
        return false;
    ssize_t sent = try_send(connection, buffer, (size_t)received);
    if (sent < 0)
        return false;
    if (sent < received) {
        if (!connection->rest && !(connection->rest = malloc(BUFFER)))
            err(1, "malloc");
        connection->rest_size = (size_t)(received - sent);
        memcpy(connection->rest, buffer + sent, connection->rest_size);
        watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    }
    return true;
}

static void send_count(const struct connection *connection)
{
    uint8_t count[8];
    for (int i = 0; i < 8; i++)
        count[i] = (uint8_t)(connection->received >> (56 - 8 * i));
    try_send(connection, count, sizeof count);
}

static bool sink(struct connection *connection)
{
    for (int i = 0; i < 16; i++) { /* then others have their turn */
        ssize_t received = recv(connection->fd, buffer, BUFFER, 0);
        if (received < 0)
            return errno == EAGAIN;
        if (received == 0) {
            send_count(connection);
            return false;
        }
        connection->received += (uint64_t)received;
        if (received < BUFFER)
            break;
    }
    return true;
}

static bool source(struct connection *connection)
{
    ssize_t sent;
    do
        sent = try_send(connection, buffer, options.write_size);
    while (sent == (ssize_t)options.write_size);
    return sent >= 0;
}

static void serve(struct connection *connection)
{
    if (connection->listens) {
        accept_all(connection->fd);
        return;
    }
    bool goes_on = options.mode == MODE_ECHO   ? echo(connection)
                   : options.mode == MODE_SINK ? sink(connection)
                                               : source(connection);
    if (!goes_on)
        connection_free(connection);
}

int main(int argc, char **argv)
{
    arguments_parse(argc, argv, &options);
    if (options.mode == MODE_CONNECT)
        errx(2, "the plain client is 'load --workload connect'");
    sockets_raise_limit();
    size_t size = options.write_size > BUFFER ? options.write_size : BUFFER;
    buffer = calloc(1, size);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!buffer || epoll_fd < 0)
        err(1, "start");

    /* Clients in mode connect use up the ports of one address. */
    int listeners[SOCKETS_ADDRESSES];
    unsigned count = options.mode == MODE_ACCEPT ? SOCKETS_ADDRESSES : 1;
    uint16_t port = sockets_listen(listeners, count);
    for (unsigned i = 0; i < count; i++)
        connection_new(listeners[i], true, EPOLLIN);
    sockets_announce(port);

    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < n; i++)
            serve(events[i].data.ptr);
    }
}
