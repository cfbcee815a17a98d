/*
 * A connection to the daemon: to the one that serves, or to one that is started when nobody does. Says hello on it.
 *
 * Any number of processes may do this at once: whoever starts a daemon that turns out to be the second one at the
 * socket just connects to the first.
 */
#ifndef OCHE_CLIENT_CONNECT_DAEMON_CONNECT_H
#define OCHE_CLIENT_CONNECT_DAEMON_CONNECT_H

#include "client/connect/hello.h"

#include <stdbool.h>

struct daemon_connect {
    const char *socket_path; /* absolute */
    const char *daemon_path; /* NULL: see paths_daemon() */
    bool never_start;
    struct hello hello;
};

enum { DAEMON_CONNECT_TIME_LIMIT = 5000 /* milliseconds, in all */ };

/* 0, *fd, a connected and non-blocking socket that is the caller's, and *welcome, which is deinitialised with
 * welcome_deinit(). Or a negative OCHE_ERR_ code, whose reason is in the diagnostics; OCHE_ERR_CLOSED: cancelled. */
int64_t daemon_connect_run(const struct daemon_connect *connect, const struct deadline *deadline, int *fd,
                           struct welcome *welcome);

#endif
