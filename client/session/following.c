/*
 * A session that changes its daemon is detached from its lane, which then only queues frames. Preparing it takes two
 * steps: end what cannot go along, and queue the frames of what can, in the order in which the requests were made. When
 * the lane is attached to the next daemon it sends them, before anything newer.
 *
 * A request that is pending on a durable listener has `wire` 0 until the LISTEN that opens the listener again has
 * succeeded; only then the daemon has a handle that the request's frame can name. Such requests stay unsent, and
 * following_reopened() queues them.
 */
#include "client/session/following.h"

#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>

/* ---- what goes along ---- */

/* Whether a request goes along to another daemon. */
typedef bool rule(const struct oche_session *session, const struct pending_request *request);

/* The application has not given it up, and its limit is not over. */
static bool is_wanted(const struct pending_request *request)
{
    return request->reopens || (!request->cancelled && !request->no_completion);
}

/* On a listener that does not go along. */
static bool is_on_bound(const struct oche_session *session, const struct pending_request *request)
{
    const struct handle_entry *entry = session_find(session, request->handle);
    return entry && entry->is_bound;
}

/* To a successor. */
static bool can_be_repeated(const struct oche_session *session, const struct pending_request *request)
{
    switch (request->opcode) {
    case FRAME_CONNECT:
    case FRAME_LISTEN:
    case FRAME_DATAGRAM:
        return is_wanted(request) && !request->is_bound;
    case FRAME_ACCEPT:
        return is_wanted(request) && !is_on_bound(session, request);
    case FRAME_LISTENER_CLOSE:
        return !is_on_bound(session, request);
    default:
        return false;
    }
}

/* To a new daemon. */
static bool is_durable(const struct oche_session *session, const struct pending_request *request)
{
    if (!is_wanted(request))
        return false;
    if (request->opcode == FRAME_LISTEN)
        return request->durable;
    return request->opcode == FRAME_ACCEPT && durable_find(&session->durable, request->handle);
}

/* Ends the requests that do not go along. Pending reads included: those that end with the close of a listener do not
 * wait for it any more. */
static void end_others(struct oche_session *session, rule *goes_along, int64_t code)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        request->reads = 0;
        if (goes_along(session, request))
            continue;
        struct oche_completion completion = {
            .result = request->cancelled ? OCHE_ERR_CLOSED : code,
            .os_error = request->cancelled ? ECANCELED : 0,
        };
        request_complete(session, request, &completion);
    }
}

/* ---- queueing it ---- */

/* On a durable listener that is not open again. */
static bool has_to_wait(const struct pending_request *request)
{
    return request->handle != 0 && request->opcode != FRAME_LISTEN && request->wire == 0;
}

static int compare(const void *one, const void *other)
{
    const struct pending_request *const *first = one, *const *second = other;
    return ((*first)->serial > (*second)->serial) - ((*first)->serial < (*second)->serial);
}

/* Queues what is pending on that handle of the wire or, with 0, everything, in the order in which the requests were
 * made, for accepts are served in theirs. False: no memory. */
static bool queue(struct oche_session *session, int64_t wire)
{
    size_t count = 0;
    struct pending_request *request = NULL;
    if (session->pending.count == 0)
        return true;
    const struct pending_request **requests = malloc(session->pending.count * sizeof(struct pending_request *));
    if (!requests)
        return false;
    while ((request = pending_next(&session->pending, request))) {
        if (wire == 0 || request->wire == wire)
            requests[count++] = request;
    }
    qsort(requests, count, sizeof(struct pending_request *), compare);
    bool queued = true;
    for (size_t i = 0; i < count && queued; i++)
        queued = has_to_wait(requests[i]) || request_send_again(session, requests[i]);
    free(requests);
    return queued;
}

/* ---- to a successor ---- */

bool following_prepare_for_successor(struct oche_session *session, bool *wanted)
{
    end_others(session, can_be_repeated, OCHE_ERR_DAEMON_LOST);
    *wanted = handles_keep_listeners(&session->handles) || durable_is_open(&session->durable);
    for (struct durable_listener *listener = session->durable.first; listener; listener = listener->next)
        listener->entry.unclaimed = 0;
    return queue(session, 0);
}

void following_lose(struct oche_session *session, int64_t wire)
{
    struct pending_request *request = NULL;
    struct handle_entry *entry = handles_find(&session->handles, wire);
    struct durable_listener *durable = durable_at(&session->durable, wire);
    if (entry && entry->kind == HANDLE_LISTENER)
        handles_remove(entry);
    if (durable)
        durable_remove(&session->durable, durable);
    while ((request = pending_next(&session->pending, request))) {
        if ((request->opcode == FRAME_ACCEPT || request->opcode == FRAME_LISTENER_CLOSE) && request->wire == wire)
            request->listener_lost = true;
    }
}

/* ---- to a new daemon ---- */

/* The application does not hear of this request, but of what it comes to for accepts. */
static bool listen_again(struct oche_session *session, struct durable_listener *listener)
{
    struct pending_request *request = request_begin_internal(session, FRAME_LISTEN, listener->handle);
    if (!request)
        return false;
    request->reopens = true;
    listener->wire = 0;
    return pending_keep_body(request, listener->body, listener->body_length);
}

bool following_prepare_for_new(struct oche_session *session, int64_t code)
{
    struct pending_request *request = NULL;
    end_others(session, is_durable, code);
    while ((request = pending_next(&session->pending, request)))
        request->wire = 0; /* accepts wait until their listeners are open */
    for (struct durable_listener *listener = session->durable.first; listener; listener = listener->next) {
        listener->entry.unclaimed = 0;
        if (!listen_again(session, listener))
            return false;
    }
    return session->pending.count > 0 && queue(session, 0);
}

bool following_keeps(const struct oche_session *session, struct pending_request *request, int64_t code)
{
    bool leaves = is_wanted(request) &&
                  (code == OCHE_ERR_CLOSED || code == OCHE_ERR_INVALID_HANDLE || code == OCHE_ERR_DAEMON_LOST);
    if (!leaves || request->opcode != FRAME_ACCEPT || !durable_find(&session->durable, request->handle))
        return false;
    request->wire = 0;
    return true;
}

static bool waits_for(const struct pending_request *request, int64_t handle)
{
    return (request->opcode == FRAME_ACCEPT || request->opcode == FRAME_LISTENER_CLOSE) && request->handle == handle;
}

bool following_reopened(struct oche_session *session, int64_t handle, int64_t wire)
{
    struct durable_listener *listener = durable_find(&session->durable, handle);
    struct pending_request *request = NULL;
    if (listener)
        listener->wire = wire;
    while ((request = pending_next(&session->pending, request))) {
        if (waits_for(request, handle))
            request->wire = wire;
    }
    return queue(session, wire);
}

void following_fail(struct oche_session *session, int64_t handle, int64_t code, int os_error)
{
    struct durable_listener *listener = durable_find(&session->durable, handle);
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        struct oche_completion completion = {.result = code, .os_error = os_error};
        if (waits_for(request, handle))
            request_complete(session, request, &completion);
    }
    if (listener)
        durable_remove(&session->durable, listener);
}

int64_t following_close_here(struct oche_session *session, int64_t request_id, const struct durable_listener *listener)
{
    int64_t handle = listener->handle;
    struct oche_completion completion = {.request_id = request_id};
    if (!completions_reserve(&session->completions, session->pending.count + 1))
        return OCHE_ERR_OUT_OF_MEMORY;
    /* A LISTENER_CLOSE that is sent when the listener has been opened, see following_reopened(). */
    struct pending_request *request = request_begin_internal(session, FRAME_LISTENER_CLOSE, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    following_fail(session, handle, OCHE_ERR_CLOSED, 0);
    request->handle = handle; /* not before: it would have failed with the others */
    completions_push(&session->completions, &completion);
    session_rouse(session);
    return 0;
}
