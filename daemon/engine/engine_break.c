/*
 * Learning that a connection breaks when nothing is received on it any more.
 *
 * After the end of the stream a socket polls readable for ever, so it cannot be watched for reading, and a reset shows
 * with the next send only. An epoll set of its own reports what epoll reports without being asked, EPOLLERR and
 * EPOLLHUP, once (epoll_ctl(2)); the set itself is a descriptor of the loop, whatever method that waits with.
 */
#include "daemon/engine/engine_libevent.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

static void on_breaks(evutil_socket_t fd, short what, void *argument)
{
    struct epoll_event events[AT_ONCE];
    (void)what, (void)argument;
    int count = epoll_wait(fd, events, AT_ONCE, 0);
    for (int i = 0; i < count; i++) {
        struct engine_socket *socket = events[i].data.ptr;
        socket->broken = true;
        engine_submit(&socket->job);
    }
}

int engine_break_init(struct engine *engine)
{
    engine->break_fd = epoll_create1(EPOLL_CLOEXEC);
    if (engine->break_fd < 0)
        return -errno;
    engine->break_event = event_new(engine->base, engine->break_fd, EV_READ | EV_PERSIST, on_breaks, NULL);
    return engine->break_event && event_add(engine->break_event, NULL) == 0 ? 0 : -ENOMEM;
}

void engine_break_deinit(struct engine *engine)
{
    if (engine->break_event)
        event_free(engine->break_event);
    if (engine->break_fd >= 0)
        close(engine->break_fd);
}

void engine_watch_break(struct engine_socket *socket)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.ptr = socket};
    /* Closing the descriptor takes it out of the set. Without memory for it the next send is who learns of a reset. */
    epoll_ctl(socket->engine->break_fd, EPOLL_CTL_ADD, socket->fd, &event);
}
