/*
 * The starter: a process beside the daemon that starts its successor, which the daemon behind its filter cannot.
 *
 * It is a fork of the daemon from before the filter, and has its user, its capabilities and its limits, but of its
 * descriptors only the standard streams of the foreground. It hears one word, and then runs what the daemon was started
 * with, and --replace; nothing that is said can change that. It leaves with the daemon, whichever way that goes.
 */
#ifndef OCHE_DAEMON_STARTER_H
#define OCHE_DAEMON_STARTER_H

#include <stdbool.h>

struct starter_order {
    char **argv;             /* the daemon's command line … */
    bool is_successor;       /* … which asks for --replace */
    const char *socket_path; /* where it serves */
    const char *log_path;    /* as the command line has it; NULL: it has none */
    bool background;         /* the daemon lets go of its standard streams later */
};

/* While there is one thread, the log is open, and signals that the server answers are blocked. The line to the starter,
 * to be closed at the end, or -errno. */
int starter_fork(const struct starter_order *order);

/* One successor is to be started, unless one is on its way; the log tells of it. 0, or -errno: there is no starter. */
int starter_ask(int line);

#endif
