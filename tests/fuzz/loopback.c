#include "tests/fuzz/loopback.h"

#include "tests/fuzz/check.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { LISTENERS_MAX = 64 };

static struct sockaddr_storage listeners[LISTENERS_MAX];
static unsigned count;

/* The names are the linker's. */
int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

void loopback_forget(unsigned left)
{
    if (count > left)
        count = left;
}

unsigned loopback_count(void)
{
    return count;
}

static socklen_t length_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

const struct sockaddr_storage *loopback_listener(unsigned index, socklen_t *length)
{
    const struct sockaddr_storage *listener = &listeners[index % count];
    *length = length_of(listener);
    return listener;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return ntohl(in->sin_addr.s_addr) == INADDR_LOOPBACK;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    return address->sa_family == AF_INET6 && memcmp(&in6->sin6_addr, &in6addr_loopback, 16) == 0;
}

static in_port_t port_of(const struct sockaddr *address)
{
    return address->sa_family == AF_INET ? ((const struct sockaddr_in *)(const void *)address)->sin_port
                                         : ((const struct sockaddr_in6 *)(const void *)address)->sin6_port;
}

/* Such that they are full soon. Who is accepted gets those of the listener. */
static void make_buffers_small(int fd)
{
    static const int to_send = 8 * 1024, to_receive = 64 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &to_send, sizeof to_send);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &to_receive, sizeof to_receive);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_storage changed = {0};
    if (!is_loopback(address)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    memcpy(&changed, address, length);
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)&changed)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)(void *)&changed)->sin6_port = 0;
    return __real_bind(fd, (struct sockaddr *)&changed, length);
}

int __wrap_listen(int fd, int backlog)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    make_buffers_small(fd);
    int r = __real_listen(fd, backlog);
    if (r == 0 && count < LISTENERS_MAX && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        listeners[count++] = address;
    return r;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    for (unsigned i = 0; i < count && is_loopback(address); i++) {
        const struct sockaddr *listener = (const struct sockaddr *)&listeners[i];
        if (listener->sa_family == address->sa_family && port_of(listener) == port_of(address)) {
            make_buffers_small(fd);
            return __real_connect(fd, address, length);
        }
    }
    errno = is_loopback(address) ? ECONNREFUSED : ENETUNREACH;
    return -1;
}

/* A socket that is always ready to send nothing would keep a worker busy for ever. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    CHECK(size > 0);
    return __real_sendmsg(fd, message, flags);
}
