/*
 * An epoll set beside what the loop waits with: for connections that nothing is received on any more, of which a
 * backend wants to know that they break; and for listeners, if the backend has no better way to watch those.
 */
#ifndef OCHE_DAEMON_ENGINE_EPOLL_SET_H
#define OCHE_DAEMON_ENGINE_EPOLL_SET_H

#include <stdbool.h>

struct engine_socket;

/* Returns a descriptor that is readable when there is something to report, or -errno. */
int epoll_set_open(void);

/* The descriptor was readable: reports what has happened to sockets (socket_progress.h). 0 or a negative errno. */
int epoll_set_report(int set);

/* The socket is reported once, when its connection breaks. Closing its descriptor takes it out of the set. Without
 * memory for it, only the next send learns of a reset. */
void epoll_set_watch_break(int set, struct engine_socket *socket);

/* The listener is reported once, when a connection waits there. False: there is no memory for it. */
bool epoll_set_watch_listener(int set, struct engine_socket *socket);
void epoll_set_forget_listener(int set, const struct engine_socket *socket);

#endif
