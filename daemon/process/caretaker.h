/*
 * The caretaker: looks after the daemon's files from the process of daemon/process/respawner.h, for behind its filter
 * the daemon can neither look at a file nor make a Unix-domain socket, with which it could reach every service of its
 * user.
 *
 * Cleaners of /tmp, and people, remove sockets that are in use. Every CARETAKER_PAUSE milliseconds, and when it is told
 * to, the caretaker looks whether socket and lock are still those of the daemon. What is missing it makes anew, and
 * hands it to the daemon. If another daemon has the place by then, this one has lost it for good: it is an orphan, whom
 * no new client can find.
 */
#ifndef OCHE_DAEMON_PROCESS_CARETAKER_H
#define OCHE_DAEMON_PROCESS_CARETAKER_H

#include "daemon/process/rendezvous.h"

enum { CARETAKER_PAUSE = 2000, CARETAKER_LONGEST_PAUSE = 64000 /* after failures */ };

enum caretaker_news {
    CARETAKER_NOTHING,
    CARETAKER_MADE_ANEW, /* rendezvous->lock_fd and listen_fd, where they are not -1, are the daemon's now */
    CARETAKER_ORPHAN,
};

struct caretaker {
    struct rendezvous rendezvous; /* a copy of the daemon's */
    pid_t daemon;
    bool watches;
    int pause; /* milliseconds until the next look */
};

/* From now on, or not any more, the files are to be looked after; `own` is what the daemon has. */
void caretaker_begin(struct caretaker *caretaker, const struct rendezvous_files *own);
void caretaker_end(struct caretaker *caretaker);

/* As for poll(2): how long to wait before the next look, or -1. */
int caretaker_timeout(const struct caretaker *caretaker);

/* Takes a look. True: nothing is missing that is to be looked after. */
bool caretaker_finds_all(const struct caretaker *caretaker);

/* Makes anew what is missing; why it cannot is on standard error. */
enum caretaker_news caretaker_mend(struct caretaker *caretaker);

#endif
