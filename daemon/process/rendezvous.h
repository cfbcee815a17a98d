/*
 * Where clients find the daemon: the Unix-domain socket in a directory of the user's own, and beside it the lock
 * (daemon/process/lock_file.h) and the key for a successor (daemon/handover/handover_key.h).
 *
 * The socket file is created with mode 0600; a directory that has to be made gets 0700, and one that others could write
 * to is refused. A daemon removes only files of its own: when somebody has removed these, others may be in their place.
 */
#ifndef OCHE_DAEMON_PROCESS_RENDEZVOUS_H
#define OCHE_DAEMON_PROCESS_RENDEZVOUS_H

#include "daemon/handover/handover_key.h"
#include "daemon/process/file_id.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct handover_items;

/* Which files are a daemon's own. */
struct rendezvous_files {
    struct file_id socket; /* no file: a service manager made it */
    struct file_id lock;
};

struct rendezvous {
    struct sockaddr_un address; /* sun_path is the absolute path of the socket */
    int lock_fd;                /* -1: not held */
    int listen_fd;              /* -1: there is none, or taken */
    struct rendezvous_files own;
    struct handover_key key; /* what a successor has to show */
    int predecessor;         /* the conversation with a daemon that offers all this; -1: there is none */
    pid_t evicted;           /* the process that was ended because it did not answer; 0: none */
};

/* Positive conditions of rendezvous_open() and rendezvous_renew(). */
enum {
    RENDEZVOUS_TAKEN = 1, /* another daemon serves there */
    RENDEZVOUS_IN_PLACE,  /* the files are where they should be */
};

/* What to do about a daemon that serves there already. */
enum rendezvous_replace {
    REPLACE_NEVER,
    REPLACE_ASK,   /* it is asked to hand over */
    REPLACE_FORCE, /* it is asked, and ended if it does not answer */
};

/* Resolves the path (`path`, else as common/socket_path.h says), takes the lock and makes the socket, to which nobody
 * can connect yet; or takes over the listening socket that a service manager passed (LISTEN_FDS). 0, RENDEZVOUS_TAKEN
 * if another daemon serves there, or -1. Everything but 0 has put its reason on standard error.
 *
 * If a daemon that serves there hands over, its TCP listeners are in the items, and all is still its own until
 * rendezvous_settle(). A successor that was started by the daemon which it is to succeed (there is a key in the
 * environment) takes nothing but what that daemon hands over. */
int rendezvous_open(struct rendezvous *rendezvous, const char *path, enum rendezvous_replace replace,
                    struct handover_items *items);

/* From now on clients can connect. To be called when no process but this one has the socket: with another it would
 * outlive this one, and take clients that nobody serves. 0, or -1 with the reason on standard error. */
int rendezvous_listen(struct rendezvous *rendezvous);

/* Takes what another daemon has offered; else there is nothing to do. 0, or -1 with the reason on standard error: that
 * daemon serves on. */
int rendezvous_settle(struct rendezvous *rendezvous);

/* A successor has all this, or the predecessor has kept it: closes it here, and removes nothing. */
void rendezvous_leave(struct rendezvous *rendezvous);

/* The listening socket, non-blocking, which is now the caller's to close. */
int rendezvous_take_listener(struct rendezvous *rendezvous);

/* Stops listening, unless the listener was taken, removes the files and lets go of the lock, so that a successor can
 * start. Idempotent. */
void rendezvous_close(struct rendezvous *rendezvous);

/* ---- for the process that looks after the files, daemon/process/caretaker.h ---- */

/* Removes those files at the path that are the daemon's own. */
void rendezvous_remove(const char *socket_path, const struct rendezvous_files *own);

/* True: the files at the path are those in rendezvous->own. */
bool rendezvous_is_in_place(const struct rendezvous *rendezvous);

/* Makes anew what is missing of the files in rendezvous->own: a lock in the name of process `daemon`, a socket, which
 * does not listen yet. 0: lock_fd and listen_fd are those that are new, else -1, and the caller's; RENDEZVOUS_IN_PLACE;
 * RENDEZVOUS_TAKEN: another daemon serves there now; or -1. All but 0 and RENDEZVOUS_IN_PLACE have put their reason on
 * standard error. */
int rendezvous_renew(struct rendezvous *rendezvous, pid_t daemon);

#endif
