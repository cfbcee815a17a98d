#include "daemon/socket/socket_option.h"

#include "daemon/engine/engine_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>

static const struct option {
    int level, name;
    bool is_settable;
} options[] = {
    {SOL_SOCKET, SO_KEEPALIVE, true},
    {SOL_SOCKET, SO_RCVBUF, true},
    {SOL_SOCKET, SO_SNDBUF, true},
    /* Per socket(7), close(2) blocks for the time of an SO_LINGER, which would stop everybody's loop. How a connection
     * ends is for the requests that end it to say. */
    {SOL_SOCKET, SO_LINGER, false},
    {IPPROTO_TCP, TCP_NODELAY, true},
    {IPPROTO_TCP, TCP_KEEPIDLE, true},
    {IPPROTO_TCP, TCP_KEEPINTVL, true},
    {IPPROTO_TCP, TCP_KEEPCNT, true},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, true},
    {IPPROTO_IP, IP_TOS, true},
    {IPPROTO_IPV6, IPV6_TCLASS, true},
};

static const struct option *find(int level, int name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (options[i].level == level && options[i].name == name)
            return &options[i];
    }
    return NULL;
}

int socket_option_set(const struct engine_socket *socket, int level, int name, const void *value, socklen_t size)
{
    const struct option *option = find(level, name);
    if (!option)
        return -ENOPROTOOPT;
    if (!option->is_settable)
        return -EOPNOTSUPP;
    return engine_socket_set_option(socket, level, name, value, size);
}

int socket_option_get(const struct engine_socket *socket, int level, int name, void *value, socklen_t *size)
{
    if (!find(level, name))
        return -ENOPROTOOPT;
    return engine_socket_get_option(socket, level, name, value, size);
}
