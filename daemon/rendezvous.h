/*
 * Where clients find the daemon: the Unix-domain socket in a directory of the user's own, and the lock beside it that
 * makes sure that one daemon serves it.
 *
 * The lock is flock(2) on SOCKET.lock. It goes away with the process, however that ends, so whoever holds it may
 * treat a socket file that is there as stale. The socket file is created with mode 0600; a directory that has to be
 * made gets 0700, and one that others could write to is refused.
 */
#ifndef OCHE_DAEMON_RENDEZVOUS_H
#define OCHE_DAEMON_RENDEZVOUS_H

#include <stdbool.h>
#include <sys/un.h>

struct estate;

struct rendezvous {
    struct sockaddr_un address; /* sun_path is the path of the socket */
    int lock_fd;                /* -1: not held */
    int listen_fd;              /* -1: there is none, or taken */
    bool bound;                 /* the socket file is ours to remove; not so when a service manager made it */
    int predecessor;            /* the conversation with a daemon that offers all this; -1: there is none */
};

/* Positive conditions of rendezvous_open(). */
enum { RENDEZVOUS_TAKEN = 1 };

/* Resolves the path (`path`, else $OCHE_SOCKET, else the user's runtime directory), takes the lock and makes the
 * socket, to which nobody can connect yet; or takes over the listening socket that a service manager passed
 * (LISTEN_FDS). 0, RENDEZVOUS_TAKEN if another daemon serves there, or -1. Everything but 0 has put its reason on
 * standard error.
 *
 * With an `estate` (NULL: without), a daemon that serves there is asked to hand over first. If it does, its TCP
 * listeners are in there, and all is still its own until rendezvous_settle(). */
int rendezvous_open(struct rendezvous *rendezvous, const char *path, struct estate *estate);

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

/* Stops listening, unless the listener was taken, removes the socket file and lets go of the lock, so that
 * a successor can start. Idempotent. */
void rendezvous_close(struct rendezvous *rendezvous);

#endif
