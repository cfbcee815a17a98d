/*
 * A session: one conversation with the daemon, and everything the client remembers of it. This file is the structure
 * and what all that work on it share; they are, from the outside in:
 *
 *    lifecycle.h    opens, ends and frees sessions
 *    dispatch.h     takes what the daemon has sent, and hands on what has completed
 *    attachment.h   finds a daemon for the session, another one when it is lost, or its successor
 *    operations.h, options.h, ahead.h, cached.h   what the application asks for
 *    replies.h      what the daemon answers, checked against what was asked
 *    timekeeping.h  what is due
 *    following.h    what goes along to another daemon
 *    request.h      the life of a request, from its beginning to its completion
 *
 * Each of these calls only those below it, and they know each other by what they leave in the structure: a daemon that
 * is lost, for example, leaves a session in another state, with requests that wait to be sent.
 *
 * One mutex guards a session. It is contended by two threads at most in ordinary use, the isolate's and the poster's,
 * and is held for one request or one batch of replies; never while something blocks, and never while code of others
 * runs (Dart's included). Functions that want it held say so.
 *
 * The structure itself is never freed, only used again (sessions.h): that makes it safe to lock the session that a
 * handle names before knowing whether the handle is any good.
 *
 * Results are 0 or a negative OCHE_ERR_ code, as for the public functions, unless a comment says otherwise.
 */
#ifndef OCHE_CLIENT_SESSION_SESSION_H
#define OCHE_CLIENT_SESSION_SESSION_H

#include "client/lane/lane.h"
#include "client/session/backoff.h"
#include "client/session/completions.h"
#include "client/session/durable.h"
#include "client/session/handles.h"
#include "client/session/pending.h"
#include "client/session/schedule.h"
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
    struct schedule schedule;
    struct pending pending;
    struct handles handles;
    struct durable durable;
    struct completions completions;
    uint64_t queued_bytes;              /* charged by pending requests; see FRAME_WRITE_OVERHEAD */
    uint64_t queued_bytes_max;          /* granted by the daemon */
    size_t last_batch;                  /* completions of the last dispatch that brought any */
    bool has_token;                     /* the daemon may hand over to a successor */
    uint8_t token[HANDOVER_TOKEN_SIZE]; /* if has_token: by this the successor knows the session */
    bool handed_over;                   /* the daemon has handed over, and the session has to follow it */
    bool tells_breaks;                  /* OCHE_FEATURE_BREAKS is on */
    bool quiet_writes;                  /* a write with a request id of 0 or less completes only if it fails */
    bool brings_words;                  /* a sentence that the daemon has to say comes with the completion */
    bool brings_endpoints;              /* a new socket completes with its endpoints as data */
    bool idle;                          /* whoever dispatches and pops has seen all completions, and may sleep */

    struct backoff backoff; /* in finding another daemon for durable listeners */

    char *socket_path; /* absolute */
    char *daemon_path; /* NULL: found anew each time */
    bool never_start;
    enum oche_lane lane_choice;
    uint32_t arena_size; /* wished for; 0: the daemon's default */
    char *open_error;    /* why the last attempt to open it failed; NULL: it did not */
    int bell_fd;         /* rung when the session asks for a daemon (session_await); a second ring ends the search for
                            it. Not owned. -1: there is none, so requests that make a socket are refused while the
                            session is lost, and durable listeners wait until the application reopens it */
    void (*deliver)(void *context); /* called when something may have completed during the search for a daemon; NULL:
                                       what completes is popped afterwards */
    void *deliver_context;

    struct oche_session *next_free; /* of sessions.h */
};

/* Of a new structure: closed, with this index for ever, the rest zero. */
void session_init(struct oche_session *session, unsigned index);

/* Frees all that the session has but its mutex; its handles stay refused. The mutex is held. */
void session_deinit(struct oche_session *session);

/* The same in the child of a fork, and closes the session: its daemon's connection is the parent's, and hears nothing
 * of it. The mutex is held. */
void session_forget(struct oche_session *session);

static inline void session_lock(struct oche_session *session)
{
    pthread_mutex_lock(&session->mutex);
}

static inline void session_unlock(struct oche_session *session)
{
    pthread_mutex_unlock(&session->mutex);
}

/* The descriptor that is readable when there is something to dispatch. */
static inline int session_fd(const struct oche_session *session)
{
    return session->lane.plain.epoll_fd;
}

/* From here on all handles made before are stale, but for those of durable listeners. The mutex is held. */
void session_renew_tag(struct oche_session *session);

/* Whether the handle is one of this session's, or was one since its daemon was found. The mutex is held. */
bool session_has(const struct oche_session *session, int64_t handle);

/* What is known of a handle of this session that is open, or NULL. The mutex is held. */
struct handle_entry *session_find(const struct oche_session *session, int64_t handle);

/* Asks whoever has hung up the bell to look for a daemon; without a bell the session stays lost. The mutex is held. */
void session_await(struct oche_session *session);

/* A completion was queued outside of a dispatch: wakes whoever has to pop it. The mutex is held. */
void session_rouse(struct oche_session *session);

#endif
