/*
 * The process has a limited number of descriptors, and running into the limit is expensive: accept(2) fails, the
 * connection stays in the backlog, and the listener stays readable. So sockets are counted before they are made.
 * Whoever finds the budget used up waits to be told that something came free, without a system call in between.
 *
 * Part of the limit is kept back for sessions, log and libraries: clients can always come in and close something.
 */
#ifndef OCHE_DAEMON_SESSION_DESCRIPTORS_H
#define OCHE_DAEMON_SESSION_DESCRIPTORS_H

#include <stdatomic.h>
#include <stdbool.h>

struct descriptors {
    long limit;         /* sockets there may be */
    atomic_long in_use; /* sockets there are */
    atomic_bool wanted; /* somebody found the budget used up */
    void (*freed)(void *context);
    void *context;
};

/* Raises the soft limit of the process to the hard one, or to `at_most`, and keeps `reserve` of it back. `freed` runs
 * in the thread that gives a descriptor back while one is wanted. */
void descriptors_init(struct descriptors *descriptors, long at_most, long reserve, void (*freed)(void *context),
                      void *context);

/* True: one socket may be made. False: `freed` will be called when that changes. */
bool descriptors_take(struct descriptors *descriptors);

/* Somebody waits for any socket to be closed, for another reason: `freed` will be called. */
void descriptors_want(struct descriptors *descriptors);

/* A socket was closed, or was not made after all. */
void descriptors_give_back(struct descriptors *descriptors);

#endif
