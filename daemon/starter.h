/*
 * The starter: a process beside the daemon that does what the daemon behind its filter cannot. It starts the daemon's
 * successor, and looks after the files where clients find the daemon (daemon/caretaker.h).
 *
 * It is a fork of the daemon from before the filter, and has its user, its capabilities and its limits, but of its
 * descriptors only the standard streams of the foreground, and two lines to the daemon. It hears a few words. At the
 * one it runs what the daemon was started with, and --replace; the others are about the socket and the lock. Nothing
 * that is said can change the command line or the paths. It leaves with the daemon, whichever way that goes.
 */
#ifndef OCHE_DAEMON_STARTER_H
#define OCHE_DAEMON_STARTER_H

#include "daemon/rendezvous.h"

#include <stdbool.h>

struct starter_order {
    char **argv;                         /* the daemon's command line */
    int argument_count;                  /* how many words of argv count: a final "--" does not */
    bool is_successor;                   /* the command line asks for --replace */
    const char *log_path;                /* as the command line has it; NULL: it has none */
    bool background;                     /* the daemon lets go of its standard streams later */
    const struct rendezvous *rendezvous; /* where the daemon serves */
};

/* The daemon's ends. */
struct starter {
    int line; /* negative: there is no starter */
    int bell; /* becomes readable when there is something to hear */
};

/* While there is one thread, the log is open, and signals that the server answers are blocked. 0, and both ends are to
 * be closed when the daemon ends; or -errno, and there is no starter. */
int starter_fork(const struct starter_order *order, struct starter *starter);

enum starter_word {
    STARTER_SUCCEED = 'S', /* a successor is to be started, unless one is on its way; the log tells of it */
    STARTER_WATCH = 'W',   /* the daemon serves: its files are to be looked after */
    STARTER_LOOK = 'L',    /* look after the files now, before the next pause is over */
    STARTER_FORGET = 'F',  /* the files are a successor's */
    STARTER_REMOVE = 'R',  /* the daemon leaves: remove those that are its own. Answered with the same word */
};

/* `own` goes with STARTER_WATCH. 0, or -errno: there is no starter. */
int starter_say(const struct starter *starter, enum starter_word word, const struct rendezvous_files *own);

/* What the starter says. */
struct starter_news {
    enum { STARTER_MADE_ANEW = 'M', STARTER_ORPHAN = 'O', STARTER_REMOVED = STARTER_REMOVE } word;
    struct rendezvous_files own; /* with STARTER_MADE_ANEW: which files are the daemon's from now on */
    int lock_fd, listen_fd;      /* the lock and the socket, if they are new, which are the caller's then; else -1 */
};

/* False: there is nothing to hear, after waiting for at most `limit` milliseconds. */
bool starter_hear(const struct starter *starter, int limit, struct starter_news *news);

#endif
