/*
 * A connection to the daemon, by hook or by crook: finds it, starts it when nobody serves, and
 * shakes hands.
 *
 * Bounded by five seconds in all. Any number of processes may do this at once: whoever starts a
 * daemon that turns out to be the second one at the socket just connects to the first.
 */
#ifndef OCHE_CLIENT_OPENING_H
#define OCHE_CLIENT_OPENING_H

#include "client/handshake.h"

#include <stdbool.h>

struct opening {
    const char *socket_path; /* absolute */
    const char *daemon_path; /* NULL: see paths_daemon() */
    bool never_start;
    int cancel_fd; /* becomes readable to end the opening early; -1: none */
};

/* 0, *fd, a connected and non-blocking socket that is the caller's, and *welcome. Or a negative
 * OCHE_ERR_ code, whose reason is in the diagnostics; OCHE_ERR_CLOSED: cancelled. */
int64_t opening_run(const struct opening *opening, int *fd, struct welcome *welcome);

#endif
