/*
 * Echo, closed loop: a connection sends its next message when the last one is back. What comes back is compared, and
 * each message carries the number of its connection and its own, so that a server cannot be fast by being wrong.
 */
#include "tools/benchmark/clock.h"
#include "tools/benchmark/load.h"
#include "tools/benchmark/sockets.h"

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    OPENING = 64, /* connections opened at a time: less than any backlog */
};

struct connection {
    int fd;
    uint32_t messages; /* completed */
    size_t sent;       /* of the message */
    size_t received;
    uint64_t start;
};

struct echo {
    const struct load *load;
    struct measurement measurement;
    int epoll_fd;
    unsigned open;
    bool ends; /* no new messages */
    struct connection *connections;
    uint8_t *message; /* as it is sent, but for the stamp */
    uint8_t *arrived;
};

/* The message as this connection sends it now. */
static const uint8_t *stamped(struct echo *echo, const struct connection *connection)
{
    uint32_t stamp[2] = {(uint32_t)(connection - echo->connections), connection->messages};
    memcpy(echo->message, stamp, sizeof stamp);
    return echo->message;
}

static void watch(struct echo *echo, struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(echo->epoll_fd, operation, connection->fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void send_rest(struct echo *echo, struct connection *connection)
{
    size_t size = echo->load->size;
    const uint8_t *message = stamped(echo, connection);
    bool was_partial = connection->sent > 0;
    ssize_t n = send(connection->fd, message + connection->sent, size - connection->sent, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN)
            err(1, "send");
        n = 0;
    }
    connection->sent += (size_t)n;
    if (connection->sent < size)
        watch(echo, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    else if (was_partial)
        watch(echo, connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_message(struct echo *echo, struct connection *connection)
{
    connection->sent = 0;
    connection->received = 0;
    connection->start = clock_now();
    send_rest(echo, connection);
}

/* True: the message is complete. */
static bool receive(struct echo *echo, struct connection *connection)
{
    size_t size = echo->load->size;
    ssize_t n = recv(connection->fd, echo->arrived, size - connection->received, 0);
    if (n < 0) {
        if (errno == EAGAIN)
            return false;
        err(1, "recv");
    }
    if (n == 0)
        errx(1, "the server has closed a connection");
    if (memcmp(echo->arrived, stamped(echo, connection) + connection->received, (size_t)n) != 0)
        errx(1, "the server has sent other bytes than it got");
    connection->received += (size_t)n;
    return connection->received == size;
}

static void serve(struct echo *echo, struct connection *connection, uint32_t events)
{
    if (events & EPOLLOUT)
        send_rest(echo, connection);
    if (!(events & ~(uint32_t)EPOLLOUT) || !receive(echo, connection))
        return;
    measurement_add(&echo->measurement, connection->start, clock_now(), echo->load->size);
    connection->messages++;
    connection->start = 0;
    if (!echo->ends)
        send_message(echo, connection);
}

static void turn(struct echo *echo)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(echo->epoll_fd, events, EVENTS, MEASUREMENT_WAIT_MS);
    for (int i = 0; i < count; i++)
        serve(echo, events[i].data.ptr, events[i].events);
}

static void open_one(struct echo *echo)
{
    struct connection *connection = &echo->connections[echo->open];
    int on = 1;
    connection->fd = sockets_connect(echo->open, echo->load->port);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets_set_nonblocking(connection->fd);
    watch(echo, connection, EPOLL_CTL_ADD, EPOLLIN);
    echo->open++;
    send_message(echo, connection);
}

/* Opens the connections; each has one message echoed. */
static void open_all(struct echo *echo, const struct load *load)
{
    *echo = (struct echo){
        .load = load,
        .connections = calloc(load->connections, sizeof *echo->connections),
        .message = malloc(load->size),
        .arrived = malloc(load->size),
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
    };
    if (!echo->connections || !echo->message || !echo->arrived || echo->epoll_fd < 0)
        err(1, "start");
    for (size_t i = 0; i < load->size; i++)
        echo->message[i] = (uint8_t)(i * 7);

    /* Not measured: the warm-up never ends. */
    struct measurement_limits limits = {.warm_up_ms = UINT32_MAX, .count = UINT64_MAX};
    measurement_start(&echo->measurement, &limits);
    echo->ends = true;
    while (echo->open < load->connections) {
        unsigned target = echo->open + OPENING < load->connections ? echo->open + OPENING : load->connections;
        while (echo->open < target)
            open_one(echo);
        while (echo->measurement.total < echo->open && measurement_goes_on(&echo->measurement, clock_now()))
            turn(echo);
    }
    echo->ends = false;
}

/* Waits for the messages that are under way: the servers shall not have resets to deal with while others are
 * measured. */
static void drain(struct echo *echo)
{
    uint64_t limit = clock_now() + NS_PER_S;
    echo->ends = true;
    for (unsigned i = 0; i < echo->open; i++) {
        while (echo->connections[i].start && clock_now() < limit)
            turn(echo);
    }
}

static void close_all(struct echo *echo)
{
    for (unsigned i = 0; i < echo->open; i++)
        close(echo->connections[i].fd);
    close(echo->epoll_fd);
    free(echo->connections);
    free(echo->message);
    free(echo->arrived);
}

void load_echo(const struct load *load)
{
    struct echo echo;
    open_all(&echo, load);
    measurement_start(&echo.measurement, &load->limits);
    for (unsigned i = 0; i < echo.open; i++)
        send_message(&echo, &echo.connections[i]);
    while (measurement_goes_on(&echo.measurement, clock_now()))
        turn(&echo);

    uint64_t now = clock_now();
    for (unsigned i = 0; i < echo.open; i++) {
        if (echo.connections[i].start)
            measurement_add_unfinished(&echo.measurement, echo.connections[i].start, now);
    }
    measurement_end(&echo.measurement, now);
    drain(&echo);
    close_all(&echo);
}

void load_idle(const struct load *load)
{
    struct echo echo;
    struct measurement_limits limits = {.duration_ms = load->limits.duration_ms, .count = UINT64_MAX};
    open_all(&echo, load);
    measurement_start(&echo.measurement, &limits);
    measurement_goes_on(&echo.measurement, clock_now()); /* says "begin" */
    poll(NULL, 0, (int)limits.duration_ms);
    measurement_end(&echo.measurement, clock_now());
    close_all(&echo);
}
