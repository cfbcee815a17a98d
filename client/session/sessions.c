/*
 * A table that is filled from the front and never emptied, so that a session can be found by its index without a lock;
 * and a list of the sessions in it that are closed, oldest first.
 */
#include "client/session/sessions.h"

#include "client/os/region.h"
#include "client/session/public_handle.h"
#include "client/session/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Filled from the front, with the mutex held; read without. */
static _Atomic(struct oche_session *) table[PUBLIC_SESSIONS];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static unsigned made;
static struct oche_session *first_free, *last_free;

/* NULL behind the last one. */
static struct oche_session *at(unsigned index)
{
    if (index >= PUBLIC_SESSIONS)
        return NULL;
    return atomic_load_explicit(&table[index], memory_order_acquire);
}

/* The mutex is held. */
static struct oche_session *make(void)
{
    if (made == PUBLIC_SESSIONS)
        return NULL;
    struct oche_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session_init(session, made++);
    atomic_store_explicit(&table[session->index], session, memory_order_release);
    return session;
}

static void append_free(struct oche_session *session)
{
    session->next_free = NULL;
    if (last_free)
        last_free->next_free = session;
    else
        first_free = session;
    last_free = session;
}

struct oche_session *sessions_take(void)
{
    if (sessions_prepare_forks() < 0)
        return NULL;
    pthread_mutex_lock(&mutex);
    struct oche_session *session = first_free;
    if (session) {
        first_free = session->next_free;
        if (!first_free)
            last_free = NULL;
    } else {
        session = make();
    }
    pthread_mutex_unlock(&mutex);
    return session;
}

void sessions_put(struct oche_session *session)
{
    pthread_mutex_lock(&mutex);
    append_free(session);
    pthread_mutex_unlock(&mutex);
}

struct oche_session *sessions_of_handle(int64_t handle)
{
    return handle > 0 ? at(public_session(handle)) : NULL;
}

void sessions_disown(const void *owner)
{
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < made; i++) {
        struct oche_session *session = at(i);
        session_lock(session);
        if (session->state == SESSION_CLOSED && session->owner == owner)
            session->owner = NULL;
        session_unlock(session);
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- forks ---- */

/* With every mutex held nobody is in the middle of a change, so what the child gets can be relied
 * on. */
static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < made; i++)
        session_lock(at(i));
}

static void after_fork_in_parent(void)
{
    for (unsigned i = 0; i < made; i++)
        session_unlock(at(i));
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    region_after_fork_in_child(); /* first, for sessions that are forgotten drop their regions */
    first_free = last_free = NULL;
    for (unsigned i = 0; i < made; i++) {
        session_forget(at(i));
        append_free(at(i));
        session_unlock(at(i));
    }
    pthread_mutex_unlock(&mutex);
}

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static int prepare_error;

static void prepare_forks(void)
{
    prepare_error = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int sessions_prepare_forks(void)
{
    pthread_once(&prepared, prepare_forks);
    return prepare_error;
}
