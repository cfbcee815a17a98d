/*
 * The way to the place of a daemon that does not answer: SIGKILL, for oched --replace=force.
 */
#ifndef OCHE_DAEMON_PROCESS_EVICTION_H
#define OCHE_DAEMON_PROCESS_EVICTION_H

#include <sys/types.h>

/* Ends the process that holds the lock of the socket, and waits until it has ended, for EVICTION_LIMIT milliseconds.
 * Its number; or -1 with the reason on standard error: it cannot be told for sure which process that is, or it does not
 * end. */
enum { EVICTION_LIMIT = 5000 };
pid_t eviction_run(const char *socket_path);

#endif
