/*
 * What a loop learns by an epoll set of its own.
 *
 * After the end of the stream a socket polls readable for ever, so it cannot be watched for reading, and a reset shows
 * with the next send only. A set reports what epoll reports without being asked, EPOLLERR and EPOLLHUP, once
 * (epoll_ctl(2)). The set itself is a descriptor of the loop, whatever method that waits with.
 *
 * An entry of a set outlives its descriptor if another process has a duplicate of that (epoll(7)). Listeners are passed
 * to other processes, so they are taken out of the set before they are closed. Connections are not passed.
 */
#include "daemon/engine/epoll_set.h"

#include "daemon/engine/socket_progress.h"

#include <errno.h>
#include <sys/epoll.h>

enum { AT_ONCE = 64 };

int epoll_set_open(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

static void report(struct engine_socket *socket)
{
    if (socket->listens) {
        socket->watches_read = false;
        engine_socket_is_readable(socket);
    } else {
        engine_socket_is_broken(socket);
    }
}

int epoll_set_report(int set)
{
    struct epoll_event events[AT_ONCE];
    int count;
    do {
        count = epoll_wait(set, events, AT_ONCE, 0);
        for (int i = 0; i < count; i++)
            report(events[i].data.ptr);
    } while (count == AT_ONCE);
    return count < 0 && errno != EINTR ? -errno : 0; /* the set is readable still, and this is called again */
}

void epoll_set_watch_break(int set, struct engine_socket *socket)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.ptr = socket};
    epoll_ctl(set, EPOLL_CTL_ADD, socket->fd, &event);
}

bool epoll_set_watch_listener(int set, struct engine_socket *socket)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = socket};
    return epoll_ctl(set, EPOLL_CTL_MOD, socket->fd, &event) == 0 ||
           (errno == ENOENT && epoll_ctl(set, EPOLL_CTL_ADD, socket->fd, &event) == 0);
}

void epoll_set_forget_listener(int set, const struct engine_socket *socket)
{
    epoll_ctl(set, EPOLL_CTL_DEL, socket->fd, NULL);
}
