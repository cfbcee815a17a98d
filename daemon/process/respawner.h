/*
 * The respawner: a process beside the daemon that does what the daemon behind its filter cannot. It starts the daemon's
 * successor, and looks after the files where clients find the daemon (daemon/process/caretaker.h).
 *
 * It is a fork of the daemon from before the filter, and has its user, its capabilities and its limits, but of its
 * descriptors only the standard streams of the foreground, and two lines to the daemon. It hears a few words. At the
 * one it runs what the daemon was started with, and --replace; the others are about the socket and the lock. Nothing
 * that is said can change the command line or the paths. It leaves with the daemon, whichever way that goes.
 */
#ifndef OCHE_DAEMON_PROCESS_RESPAWNER_H
#define OCHE_DAEMON_PROCESS_RESPAWNER_H

#include "daemon/process/rendezvous.h"

#include <stdbool.h>

struct respawner_order {
    char **argv;                         /* the daemon's command line */
    int argument_count;                  /* how many words of argv count: a final "--" does not */
    bool is_successor;                   /* the command line asks for --replace */
    const char *log_path;                /* as the command line has it; NULL: it has none */
    bool background;                     /* the daemon lets go of its standard streams later */
    const struct rendezvous *rendezvous; /* where the daemon serves */
};

/* The daemon's ends. */
struct respawner {
    int line; /* negative: there is no respawner */
    int bell; /* becomes readable when there is something to hear */
};

/* While there is one thread, the log is open, and signals that the server answers are blocked. 0, and both ends are to
 * be closed when the daemon ends; or -errno, and there is no respawner. */
int respawner_fork(const struct respawner_order *order, struct respawner *respawner);

enum respawner_word {
    RESPAWNER_SUCCEED = 'S', /* a successor is to be started, unless one is on its way; the log tells of it */
    RESPAWNER_WATCH = 'W',   /* the daemon serves: its files are to be looked after */
    RESPAWNER_LOOK = 'L',    /* look after the files now, before the next pause is over */
    RESPAWNER_FORGET = 'F',  /* the files are a successor's */
    RESPAWNER_REMOVE = 'R',  /* the daemon leaves: remove those that are its own. Answered with the same word */
};

/* `own` goes with RESPAWNER_WATCH. 0, or -errno: there is no respawner. */
int respawner_say(const struct respawner *respawner, enum respawner_word word, const struct rendezvous_files *own);

/* What the respawner says. */
struct respawner_news {
    enum { RESPAWNER_MADE_ANEW = 'M', RESPAWNER_ORPHAN = 'O', RESPAWNER_REMOVED = RESPAWNER_REMOVE } word;
    struct rendezvous_files own; /* with RESPAWNER_MADE_ANEW: which files are the daemon's from now on */
    int lock_fd, listen_fd;      /* the lock and the socket, if they are new, which are the caller's then; else -1 */
};

/* False: there is nothing to hear, after waiting for at most `limit` milliseconds. */
bool respawner_hear(const struct respawner *respawner, int limit, struct respawner_news *news);

#endif
