/*
 * The starter: a process beside the daemon that starts its successor, which the daemon behind its filter cannot.
 *
 * It is a fork of the daemon from before the filter, and has its user, its capabilities and its limits, but none of its
 * descriptors. It hears one word, and then runs what the daemon was started with, and --replace: nothing that anybody
 * says later changes that. It leaves with the daemon, whichever way that goes.
 */
#ifndef OCHE_DAEMON_STARTER_H
#define OCHE_DAEMON_STARTER_H

#include <stdbool.h>

/* While there is one thread, the log is open, and signals that the server answers are blocked. `argv` is the daemon's
 * command line; a daemon in the `background` lets go of its standard streams later. The line to the starter, to be
 * closed at the end, or -errno. */
int starter_fork(char **argv, const char *socket_path, bool background);

/* One successor is to be started, unless one is on its way; the log tells of it. 0, or -errno: there is no starter. */
int starter_ask(int line);

#endif
