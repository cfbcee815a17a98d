/*
 * The poster: a thread that dispatches the session of one isolate and posts what completes to the
 * isolate's port.
 *
 * It sleeps in epoll_wait() on the session's descriptor, to which it adds a bell of its own: an
 * eventfd that asks it to stop, or to reopen a lost session. Nobody else dispatches that session.
 *
 * It also opens the session, if that was left to it, and opens a lost one anew. Meanwhile it posts what completes
 * because its limit is over.
 *
 * It ends in one of two ways. poster_end() stops it, for tcp_destroy(). Or a post fails, because
 * the isolate is gone without having said so: then the poster, if it is still registered,
 * frees everything itself.
 */
#ifndef OCHE_CLIENT_PORT_POSTER_H
#define OCHE_CLIENT_PORT_POSTER_H

#include "client/port/dart_port.h"

#include <pthread.h>
#include <stdatomic.h>

struct poster;

/* Called by the thread at its end: takes the poster from where it is registered. True: it was there, so the thread has
 * to free it. False: somebody else has taken it, who is in poster_end(), or on the way there, and joins the thread. */
typedef bool poster_unregister(struct poster *poster);

struct poster {
    struct dart_isolate isolate;
    int64_t port;
    struct oche_session *session;
    poster_unregister *unregister;
    int bell_fd;
    pthread_t thread;
    atomic_bool stops;
    bool deserted;            /* a post has failed. For the thread */
    _Atomic int64_t features; /* OCHE_FEATURE_ values, as oche_isolate_enable() set them */
    uint64_t number;          /* of isolates.h: no two posters of the process have the same */
    struct poster *next;      /* of isolates.h */
};

/* Makes a session for the isolate, opens it or prepares it (lifecycle.h), and starts its poster. 0 and *poster, or as
 * lifecycle_open(). Blocks only if it opens. */
int64_t poster_new(struct dart_isolate isolate, int64_t port, bool opens, poster_unregister *unregister,
                   struct poster **poster);

/* Stops the thread, posts OCHE_ERR_CLOSED for what is pending, closes and frees. For a poster that is not, or no
 * longer, registered. */
void poster_end(struct poster *poster);

/* In the child of a fork, where the thread does not exist, nor, by now, the session. */
void poster_forget(struct poster *poster);

#endif
