#include "client/isolates.h"

#include "client/diagnostics.h"
#include "client/poster.h"
#include "client/session.h"
#include "client/sessions.h"
#include "proto/errors.h"

#include <pthread.h>
#include <stdatomic.h>

/* A list, because a process has few isolates and looks them up rarely: handles find their sessions
 * by themselves. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct poster *first;
static atomic_uint registered;
static uint64_t last_number;

/* The place of the poster of an isolate at this address, or of the NULL at the end. The mutex is
 * held. */
static struct poster **find(const void *address)
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

bool isolates_add(struct poster *poster)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find(poster->isolate.address);
    bool vacant = !*place;
    if (vacant) {
        *place = poster;
        poster->number = ++last_number;
        atomic_fetch_add(&registered, 1);
    }
    pthread_mutex_unlock(&mutex);
    return vacant;
}

bool isolates_remove(struct poster *poster)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find(poster->isolate.address);
    bool found = *place == poster;
    if (found)
        unlink_at(place);
    pthread_mutex_unlock(&mutex);
    return found;
}

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

    bool kept;
    struct poster *poster = isolates_replace(isolate, port, &kept);
    if (kept)
        return 0;
    if (poster)
        poster_end(poster);
    sessions_disown(isolate.address);
    int64_t status = poster_new(isolate, port, opens, &poster);
    if (status == 0 && !isolates_add(poster))
        poster_end(poster); /* another thread was faster, as it should not be: one isolate, one call
                               at a time */
    return status;
}

/* The port of the poster, 0 if there is none. */
static int64_t port_of(struct dart_isolate isolate)
{
    pthread_mutex_lock(&mutex);
    const struct poster *poster = *find(isolate.address);
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
    struct poster *poster = *find(isolate.address);
    if (poster && poster->port == port)
        return poster;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

void isolates_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

struct poster *isolates_replace(struct dart_isolate isolate, int64_t port, bool *kept)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find(isolate.address);
    *kept = *place && (*place)->port == port;
    struct poster *poster = *place && !*kept ? unlink_at(place) : NULL;
    pthread_mutex_unlock(&mutex);
    return poster;
}

struct poster *isolates_take(struct dart_isolate isolate)
{
    pthread_mutex_lock(&mutex);
    struct poster **place = find(isolate.address);
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

void isolates_before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

void isolates_after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

void isolates_after_fork_in_child(void)
{
    while (first)
        poster_forget(unlink_at(&first));
    pthread_mutex_unlock(&mutex);
}
