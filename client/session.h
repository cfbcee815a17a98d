/*
 * A session: one conversation with the daemon, and everything the client remembers of it.
 *
 * Parts, from the outside in: operations.h checks arguments, makes a pending request and sends its
 * frame; replies.h matches what the daemon answers and turns it into completions; this module
 * opens, dispatches and ends.
 *
 * One mutex guards a session. It is contended by two threads at most in ordinary use, the isolate's
 * and the poster's, and is held for one request or one batch of replies; never while something
 * blocks, and never while code of others runs (Dart's included). Functions that want it held say
 * so.
 *
 * The structure itself is never freed, only used again (sessions.h): that makes it safe to lock the
 * session that a handle names before knowing whether the handle is any good.
 *
 * Results are 0 or a negative OCHE_ERR_ code, as for the public functions, unless a comment says
 * otherwise.
 */
#ifndef OCHE_CLIENT_SESSION_H
#define OCHE_CLIENT_SESSION_H

#include "client/backoff.h"
#include "client/completions.h"
#include "client/durable.h"
#include "client/handles.h"
#include "client/lane.h"
#include "client/pending.h"
#include "client/timekeeping.h"
#include "proto/handover.h"

#include <oche/oche.h>
#include <pthread.h>

enum session_state {
    SESSION_CLOSED, /* not open yet, or ended */
    SESSION_OPEN,
    SESSION_FOLLOWING, /* the daemon has handed over, and requests are queued for its successor */
    SESSION_LOST,      /* the daemon is gone, or was not looked for yet */
    SESSION_AWAITED,   /* the same, and the dispatcher is asked to find one: requests are queued for it */
};

/* The numbers in the epoll set: after those of the lane. */
enum { SESSION_EPOLL_ALARM = LANE_EPOLL_DATA_END, SESSION_EPOLL_DATA_END };

struct oche_session {
    pthread_mutex_t mutex;
    enum session_state state;
    unsigned index; /* in sessions.h, for ever */
    unsigned generation;
    int64_t tag;       /* of public handles: index and generation */
    const void *owner; /* the isolate it serves, or served last; NULL: none */

    struct lane lane;
    struct timekeeping time;
    struct pending pending;
    struct handles handles;
    struct durable durable;
    struct completions completions;
    uint64_t queued_bytes;              /* charged by pending requests; see FRAME_WRITE_OVERHEAD */
    uint64_t queued_bytes_max;          /* granted by the daemon */
    size_t last_batch;                  /* completions of the last dispatch that brought any */
    bool aborts;                        /* the daemon knows ABORT */
    bool raw_options;                   /* the daemon understands options by the system's numbers */
    bool has_token;                     /* the daemon may hand over: */
    uint8_t token[HANDOVER_TOKEN_SIZE]; /* its successor knows us by this */
    bool handed_over;                   /* it has */
    bool tells_breaks;                  /* OCHE_FEATURE_BREAKS is on */
    bool quiet_writes;                  /* a write with a request id of 0 or less completes only if it fails */
    bool brings_endpoints;              /* a new socket completes with its endpoints as data */
    bool idle;                          /* whoever dispatches and pops has seen all, and may sleep */

    struct backoff backoff; /* in finding another daemon for durable listeners */

    char *socket_path; /* absolute */
    char *daemon_path; /* NULL: found anew each time */
    bool never_start;
    enum oche_lane lane_choice;
    uint32_t arena_size; /* wished for; 0: the daemon's default */
    char *open_error;    /* why the last attempt to open it failed; NULL: it did not */
    int bell_fd;         /* an eventfd, rung when something awaits the opening, which a second ring ends; not owned. -1:
                            requests that make a socket are refused then, and durable listeners wait until the
                            application reopens */
    void (*post)(void *poster); /* hands on what completes while it opens; NULL: that is popped afterwards */
    void *poster;

    struct oche_session *next_free; /* of sessions.h */
};

/* Opens a session for `owner`, which may be NULL; see oche_session_open(). Blocks. */
int64_t session_open(const struct oche_session_options *options, const void *owner, struct oche_session **session);

/* The same without a daemon, which the first request looks for, as after a loss. Does not block. */
int64_t session_prepare(const struct oche_session_options *options, const void *owner, struct oche_session **session);

/* See oche_session_reopen(). Ends early, with OCHE_ERR_CLOSED, when the session's bell is rung. If it fails, the
 * requests that awaited it complete with its result, but for what is pending on durable listeners: that goes on
 * awaiting another attempt, for which the bell rings, until it is time to give up. Blocks. */
int64_t session_reopen(struct oche_session *session);

/* See oche_session_dispatch(). */
int64_t session_dispatch(struct oche_session *session);

/* The same in two steps, for the poster, who does the waiting himself: `ready` is from lane_wait(), or 0 if there was
 * no need to wait. */
int64_t session_dispatch_ready(struct oche_session *session, unsigned ready);

/* And then: takes up to `count` completions, and returns how many. If that was all, *settled says whether to wait with
 * lane_wait(): whatever comes from then on is heard there. In one step, so that the poster, who wakes the isolate with
 * these, need not contend with it for the mutex afterwards. */
size_t session_take(struct oche_session *session, struct oche_completion *completions, size_t count, bool *settled);

/* See oche_session_pop(). */
bool session_pop_one(struct oche_session *session, struct oche_completion *completion);

/* Says goodbye to the daemon; what is pending completes with OCHE_ERR_CLOSED. Completions can still
 * be popped. */
void session_end(struct oche_session *session);

/* Frees everything of a session that has ended, or of one that fork() took along; its handles stay
 * refused. */
void session_free(struct oche_session *session);

/* In the child of a fork: the session without its daemon's connection, which is the parent's. The
 * mutex is held. */
void session_forget(struct oche_session *session);

static inline void session_lock(struct oche_session *session)
{
    pthread_mutex_lock(&session->mutex);
}

static inline void session_unlock(struct oche_session *session)
{
    pthread_mutex_unlock(&session->mutex);
}

/* Asks whoever has hung up the bell to reopen the session, which is lost. The mutex is held. */
void session_await(struct oche_session *session);

/* Whether the handle is one of this session's, or was one since its daemon was found. The mutex is held. */
bool session_has(const struct oche_session *session, int64_t handle);

/* What is known of a handle of this session that is open, or NULL. The mutex is held. */
struct handle_entry *session_find(const struct oche_session *session, int64_t handle);

/* A completion was queued outside of a dispatch: wakes whoever has to pop it. The mutex is held. */
void session_rouse(struct oche_session *session);

/*
 * Completes a pending request: tells who waits for it, or queues a completion; then the request is
 * no more. The mutex is held. `completion` has the result, the errno and the data, which is taken
 * over.
 */
void session_complete(struct oche_session *session, struct pending_request *request,
                      struct oche_completion *completion);

#endif
