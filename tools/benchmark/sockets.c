#include "tools/benchmark/sockets.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockaddr_in sockets_address(uint64_t number, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % SOCKETS_ADDRESSES)),
    };
}

/* -1: the port is taken. */
static int listen_at(unsigned number, uint16_t port)
{
    struct sockaddr_in address = sockets_address(number, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        err(1, "socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        if (errno != EADDRINUSE || port == 0)
            err(1, "bind");
        close(fd);
        return -1;
    }
    if (listen(fd, SOMAXCONN) < 0)
        err(1, "listen");
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        err(1, "getsockname");
    return ntohs(address.sin_port);
}

uint16_t sockets_listen(int fds[], unsigned count)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        fds[0] = listen_at(0, 0);
        uint16_t port = port_of(fds[0]);
        unsigned open = 1;
        while (open < count && (fds[open] = listen_at(open, port)) >= 0)
            open++;
        if (open == count)
            return port;
        while (open > 0)
            close(fds[--open]);
    }
    errx(1, "no port is free on %u addresses", count);
}

static int connecting_socket(uint64_t from, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        err(1, "socket");
    if (from % SOCKETS_ADDRESSES != 0) {
        struct sockaddr_in source = sockets_address(from, 0);
        /* Leaves the choice of the port to connect(), which knows the destination. */
        int on = 1;
        if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
            bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
            err(1, "bind");
    }
    return fd;
}

int sockets_connect(uint64_t from, uint16_t port)
{
    struct sockaddr_in address = sockets_address(0, port);
    int fd = connecting_socket(from, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        err(1, "connect");
    return fd;
}

int sockets_begin_connect(uint64_t from, uint64_t to, uint16_t port)
{
    struct sockaddr_in address = sockets_address(to, port);
    int fd = connecting_socket(from, SOCK_NONBLOCK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        err(1, "connect");
    return fd;
}

void sockets_set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        err(1, "fcntl");
}

void sockets_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void sockets_announce(uint16_t port)
{
    printf("{\"event\": \"ready\", \"port\": %u}\n", port);
    fflush(stdout);
}
