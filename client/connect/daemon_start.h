/*
 * Starts the daemon without leaving a trace in the host process: no child for it to reap, no
 * SIGCHLD, no inherited descriptor, no changed signal disposition.
 */
#ifndef OCHE_CLIENT_CONNECT_DAEMON_START_H
#define OCHE_CLIENT_CONNECT_DAEMON_START_H

#include "client/os/deadline.h"

#include <stdint.h>

/* Besides 0 and negative OCHE_ERR_ codes: another daemon has the socket, or is about to. */
enum { DAEMON_START_TAKEN = 1, DAEMON_START_WHY_SIZE = 256 };

/* Runs the daemon (`daemon_path`, or what paths_daemon() finds) for the socket, and waits until it serves. 0;
 * DAEMON_START_TAKEN, and `why` is what the daemon said, with the process that has the place; or a negative OCHE_ERR_
 * code, whose reason is in the diagnostics; OCHE_ERR_CLOSED: cancelled. */
int64_t daemon_start_run(const char *daemon_path, const char *socket_path, const struct deadline *deadline,
                         char why[DAEMON_START_WHY_SIZE]);

#endif
