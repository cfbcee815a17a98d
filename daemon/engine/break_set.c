/*
 * Learning that a connection breaks when nothing is received on it any more.
 *
 * After the end of the stream a socket polls readable for ever, so it cannot be watched for reading, and a reset shows
 * with the next send only. An epoll set of its own reports what epoll reports without being asked, EPOLLERR and
 * EPOLLHUP, once (epoll_ctl(2)); the set itself is a descriptor of the loop, whatever method that waits with.
 */
#include "daemon/engine/break_set.h"

#include "daemon/engine/socket_progress.h"

#include <errno.h>
#include <sys/epoll.h>

enum { AT_ONCE = 64 };

int break_set_open(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

void break_set_report(int set)
{
    struct epoll_event events[AT_ONCE];
    int count = epoll_wait(set, events, AT_ONCE, 0);
    for (int i = 0; i < count; i++)
        engine_socket_is_broken(events[i].data.ptr);
}

void break_set_add(int set, struct engine_socket *socket)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.ptr = socket};
    epoll_ctl(set, EPOLL_CTL_ADD, socket->fd, &event);
}
