/*
 * A list of posters, because a process has few isolates and looks them up rarely: handles find their sessions by
 * themselves. Whoever takes a poster from the list, with the mutex held, is the only one to end it: tcp_destroy(), a
 * finalizer of the application, a new tcp_init() in the same isolate, or the poster's own thread when its isolate is
 * gone.
 */
#include "client/port/isolates.h"

#include "client/os/diagnostics.h"
#include "client/port/poster.h"
#include "client/session/session.h"
#include "client/session/sessions.h"
#include "proto/errors.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct poster *first;
static atomic_uint registered;
static uint64_t last_number;

/* The place of the poster of an isolate at this address, or of the NULL at the end. The mutex is
 * held. */
static struct poster **find_place(const void *address)
{
    struct poster **place = &first;
    while (*place && (*place)->isolate.address != address)
        place = &(*place)->next;
    return place;
}

/* The mutex is held. */
static struct poster *unlink_at(struct poster **place)
{
    struct poster *poster = *place;
    *place = poster->next;
    poster->next = NULL;
    atomic_fetch_sub(&registered, 1);
    return poster;
}

/* Registers a poster. False: its isolate has one already. */
static bool add_poster(struct poster *poster)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find_place(poster->isolate.address);
    bool vacant = !*place;
    if (vacant) {
        *place = poster;
        poster->number = ++last_number;
        atomic_fetch_add(&registered, 1);
    }
    pthread_mutex_unlock(&mutex);
    return vacant;
}

/* Unregisters the poster; whoever gets true ends it. False: somebody else did. */
static bool remove_poster(struct poster *poster)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find_place(poster->isolate.address);
    bool found = *place == poster;
    if (found)
        unlink_at(place);
    pthread_mutex_unlock(&mutex);
    return found;
}

/* Unregisters and returns the poster of an isolate with this address, gone or not, unless it is the one of `isolate`
 * and `port` that is wanted: then *kept is true. NULL: there is none. */
static struct poster *replace_poster(struct dart_isolate isolate, int64_t port, bool *kept)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find_place(isolate.address);
    *kept = *place && (*place)->port == port;
    struct poster *poster = *place && !*kept ? unlink_at(place) : NULL;
    pthread_mutex_unlock(&mutex);
    return poster;
}

/* ---- forks: the child has no posters ---- */

/* Around what the sessions do: first to lock, and last to unlock. */
static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    while (first)
        poster_forget(unlink_at(&first));
    pthread_mutex_unlock(&mutex);
}

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static int prepare_error;

/* pthread_atfork(3): handlers before the fork run in the reverse order of their registration, those after it in that
 * order. So the sessions' have to be registered first. */
static void prepare_forks(void)
{
    prepare_error = sessions_prepare_forks();
    if (!prepare_error)
        prepare_error = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- finding and replacing ---- */

int64_t isolates_begin(void *dart_api_dl_data, int64_t port, bool opens)
{
    const char *caller = opens ? "tcp_init" : "oche_isolate_open";
    diagnostics_clear();
    if (!dart_port_resolve(dart_api_dl_data)) {
        diagnostics_fail(0, "%s: not the data of NativeApi.initializeApiDLData, version 2", caller);
        return OCHE_ERR_INVALID_ARGUMENT;
    }
    struct dart_isolate isolate = dart_port_current_isolate();
    if (!isolate.address || port == 0) {
        diagnostics_fail(0, "%s: there is no %s", caller, isolate.address ? "port" : "current isolate");
        return OCHE_ERR_INVALID_ARGUMENT;
    }

    pthread_once(&prepared, prepare_forks);
    if (prepare_error) {
        diagnostics_fail(-prepare_error, "%s: cannot prepare for forks", caller);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    bool kept;
    struct poster *poster = replace_poster(isolate, port, &kept);
    if (kept)
        return 0;
    if (poster)
        poster_end(poster);
    sessions_disown(isolate.address);
    int64_t status = poster_new(isolate, port, opens, remove_poster, &poster);
    if (status == 0 && !add_poster(poster))
        poster_end(poster); /* another thread was faster, as it should not be: one isolate, one call
                               at a time */
    return status;
}

/* The port of the poster, 0 if there is none. */
static int64_t port_of(struct dart_isolate isolate)
{
    pthread_mutex_lock(&mutex);
    const struct poster *poster = *find_place(isolate.address);
    int64_t port = poster ? poster->port : 0;
    pthread_mutex_unlock(&mutex);
    return port;
}

struct poster *isolates_lock(struct dart_isolate isolate)
{
    int64_t port = port_of(isolate);
    if (port == 0 || !dart_port_is_open(port))
        return NULL;
    pthread_mutex_lock(&mutex);
    struct poster *poster = *find_place(isolate.address);
    if (poster && poster->port == port)
        return poster;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

void isolates_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

struct poster *isolates_take(struct dart_isolate isolate)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find_place(isolate.address);
    struct poster *poster = *place ? unlink_at(place) : NULL;
    pthread_mutex_unlock(&mutex);
    return poster;
}

struct poster *isolates_take_numbered(uint64_t number)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = &first;
    while (*place && (*place)->number != number)
        place = &(*place)->next;
    struct poster *poster = *place ? unlink_at(place) : NULL;
    pthread_mutex_unlock(&mutex);
    return poster;
}

struct oche_session *isolates_lock_session(int64_t handle, int64_t *refusal)
{
    struct oche_session *session = sessions_of_handle(handle);
    bool destroyed = false;
    if (session) {
        session_lock(session);
        if (session_has(session, handle) && session->owner) {
            if (session->state != SESSION_CLOSED)
                return session;
            destroyed = true; /* and its isolate has no other, see sessions_disown() */
        }
        session_unlock(session);
    }
    bool any_session = atomic_load(&registered) > 0;
    *refusal = destroyed || !any_session ? OCHE_ERR_NOT_INITIALIZED : OCHE_ERR_INVALID_HANDLE;
    return NULL;
}
