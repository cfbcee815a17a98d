/*
 * A session that opens is first prepared: taken from the registry, filled in from the options, and LOST, as if a daemon
 * had been there and was gone. Finding the first daemon is then the same as finding another one (attachment.h).
 */
#include "client/session/lifecycle.h"

#include "client/connect/lane_select.h"
#include "client/connect/paths.h"
#include "client/os/diagnostics.h"
#include "client/session/attachment.h"
#include "client/session/public_handle.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "client/session/sessions.h"
#include "proto/arena.h"
#include "proto/errors.h"

#include <errno.h>
#include <string.h>

/* In whole blocks, as the daemon has it. */
static uint32_t arena_wish(uint32_t bytes)
{
    if (bytes > ARENA_SIZE_MAX)
        return ARENA_SIZE_MAX;
    return (bytes + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK;
}

/* Fills in a closed session, up to the connection. */
static int64_t fill_in(struct oche_session *session, const struct oche_session_options *options, const void *owner)
{
    const struct oche_session_options defaults = {.socket_path = NULL};
    if (!options)
        options = &defaults;
    errno = ENOMEM;
    char *socket_path = paths_socket(options->socket_path);
    int path_error = errno;
    bool named = options->daemon_path && *options->daemon_path;
    char *daemon_path = named ? strdup(options->daemon_path) : NULL;

    session_lock(session);
    session->socket_path = socket_path;
    session->daemon_path = daemon_path;
    session->never_start = options->never_start;
    session->arena_size = arena_wish(options->arena_size);
    session->quiet_writes = options->quiet_writes;
    session->tells_breaks = false;
    session->brings_words = !owner; /* an isolate has to say so */
    session->brings_endpoints = false;
    session->owner = owner;
    session->backoff = (struct backoff){0};
    session_renew_tag(session);
    int error = lane_init(&session->lane);
    if (!error)
        error = schedule_init(&session->schedule, session_fd(session), SESSION_EPOLL_ALARM);
    session_unlock(session);

    if (!socket_path && path_error != ENOMEM) {
        diagnostics_fail(path_error, "cannot make the path of the daemon's socket absolute");
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    if (!socket_path || (named && !daemon_path)) {
        diagnostics_fail(ENOMEM, "cannot open a session");
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    if (error) {
        diagnostics_fail(-error, "cannot make the descriptors that a session waits on");
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    return lane_select_wish(options->lane, &session->lane_choice);
}

/* Gives back a session that could not be opened. */
static void discard(struct oche_session *session)
{
    session_lock(session);
    session->owner = NULL;
    session->state = SESSION_CLOSED;
    session_unlock(session);
    lifecycle_free(session);
}

int64_t lifecycle_prepare(const struct oche_session_options *options, const void *owner, struct oche_session **session)
{
    *session = NULL;
    diagnostics_clear();
    struct oche_session *prepared = sessions_take();
    if (!prepared) {
        diagnostics_fail(0, "no memory for one more session, or %d are open", PUBLIC_SESSIONS);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    int64_t status = fill_in(prepared, options, owner);
    if (status < 0) {
        discard(prepared);
        return status;
    }
    session_lock(prepared);
    prepared->state = SESSION_LOST;
    session_unlock(prepared);
    *session = prepared;
    return 0;
}

int64_t lifecycle_open(const struct oche_session_options *options, const void *owner, struct oche_session **session)
{
    int64_t status = lifecycle_prepare(options, owner, session);
    if (status == 0)
        status = attachment_begin(*session);
    if (status < 0 && *session) {
        discard(*session);
        *session = NULL;
    }
    return status;
}

void lifecycle_end(struct oche_session *session)
{
    session_lock(session);
    lane_detach(&session->lane);
    request_end_all(session, OCHE_ERR_CLOSED);
    handles_deinit(&session->handles);
    durable_deinit(&session->durable);
    session->state = SESSION_CLOSED;
    session_unlock(session);
}

void lifecycle_free(struct oche_session *session)
{
    session_lock(session);
    session_deinit(session);
    session_unlock(session);
    sessions_put(session);
}
