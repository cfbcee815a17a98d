/*
 * Short connections, some in flight at once: as the client that is measured (connect), against a server that accepts
 * and closes; and as the load of a server (accept).
 */
#include "tools/benchmark/clock.h"
#include "tools/benchmark/load.h"
#include "tools/benchmark/sockets.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64 };

struct flight {
    int fd;
    bool ended; /* our end of the stream is sent */
    uint64_t start;
};

struct churn {
    const struct load *load;
    bool waits_for_close;
    struct measurement measurement;
    int epoll_fd;
    uint64_t made;
};

static void begin(struct churn *churn, struct flight *flight)
{
    /* The server of "accept" has one address, so its clients have many; the one of "connect" has many. */
    uint64_t number = churn->made++;
    flight->start = clock_now();
    flight->ended = false;
    flight->fd = sockets_begin_connect(churn->waits_for_close ? number : 0, churn->waits_for_close ? 0 : number,
                                       churn->load->port);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = flight};
    if (epoll_ctl(churn->epoll_fd, EPOLL_CTL_ADD, flight->fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void check_connected(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error) {
        errno = error;
        err(1, "connect");
    }
}

/* True: the server has closed. */
static bool is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n > 0)
        errx(1, "the server has sent something");
    if (n < 0 && errno != EAGAIN)
        err(1, "recv");
    return n == 0;
}

static void serve(struct churn *churn, struct flight *flight)
{
    if (!flight->ended)
        check_connected(flight->fd);
    if (churn->waits_for_close) {
        if (!flight->ended) {
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = flight};
            if (shutdown(flight->fd, SHUT_WR) < 0 || epoll_ctl(churn->epoll_fd, EPOLL_CTL_MOD, flight->fd, &event) < 0)
                err(1, "shutdown");
            flight->ended = true;
            return;
        }
        if (!is_closed(flight->fd))
            return;
    }
    close(flight->fd);
    measurement_add(&churn->measurement, flight->start, clock_now(), 0);
    begin(churn, flight);
}

static void run(const struct load *load, bool waits_for_close)
{
    struct churn churn = {
        .load = load,
        .waits_for_close = waits_for_close,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
    };
    struct flight *flights = calloc(load->connections, sizeof *flights);
    if (!flights || churn.epoll_fd < 0)
        err(1, "start");
    measurement_start(&churn.measurement, &load->limits);
    for (unsigned i = 0; i < load->connections; i++)
        begin(&churn, &flights[i]);
    while (measurement_goes_on(&churn.measurement, clock_now())) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(churn.epoll_fd, events, EVENTS, MEASUREMENT_WAIT_MS);
        for (int i = 0; i < count; i++)
            serve(&churn, events[i].data.ptr);
    }
    uint64_t now = clock_now();
    for (unsigned i = 0; i < load->connections; i++)
        measurement_add_unfinished(&churn.measurement, flights[i].start, now);
    measurement_end(&churn.measurement, now);
    for (unsigned i = 0; i < load->connections; i++)
        close(flights[i].fd);
    close(churn.epoll_fd);
    free(flights);
}

void load_connect(const struct load *load)
{
    run(load, false);
}

void load_accept(const struct load *load)
{
    run(load, true);
}
