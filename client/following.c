#include "client/following.h"

#include "client/session.h"
#include "proto/errors.h"

#include <stdlib.h>

static bool can_be_repeated(const struct oche_session *session, const struct pending_request *request)
{
    (void)session;
    switch (request->opcode) {
    case FRAME_CONNECT:
        return !request->given_up && !request->unheard;
    case FRAME_LISTEN:
    case FRAME_ACCEPT:
    case FRAME_LISTENER_CLOSE:
        return true;
    default:
        return false;
    }
}

/* Pending reads included: those that end with the close of a listener do not wait for it any more. */
void following_end_others(struct oche_session *session, following_rule *goes_along, int64_t code)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        request->reads = 0;
        if (goes_along(session, request))
            continue;
        struct oche_completion completion = {.result = request->given_up ? OCHE_ERR_CLOSED : code};
        session_complete(session, request, &completion);
    }
}

static bool queue_one(struct oche_session *session, const struct pending_request *request)
{
    struct frame frame = {
        .opcode = request->opcode,
        .request_id = pending_wire_id(&session->pending, request),
        .handle = request->wire,
        .value = request->argument,
        .body_length = request->body_length,
    };
    if (request->handle != 0 && request->opcode != FRAME_LISTEN && request->wire == 0)
        return true; /* it waits until a durable listener is open again */
    if (lane_reserve(&session->lane, request->body_length, 0) < 0)
        return false;
    lane_put(&session->lane, &frame, request->body, NULL, 0, LANE_WITH_THE_BATCH);
    return true;
}

static int compare(const void *one, const void *other)
{
    const struct pending_request *const *first = one, *const *second = other;
    return ((*first)->serial > (*second)->serial) - ((*first)->serial < (*second)->serial);
}

/* In the order in which they were made, for accepts are served in theirs. */
bool following_queue(struct oche_session *session, int64_t wire)
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
        queued = queue_one(session, requests[i]);
    free(requests);
    return queued;
}

bool following_prepare(struct oche_session *session, bool *wanted)
{
    following_end_others(session, can_be_repeated, OCHE_ERR_DAEMON_LOST);
    *wanted = handles_keep_listeners(&session->handles) || durable_is_open(&session->durable);
    return following_queue(session, 0);
}

void following_lose(struct oche_session *session, int64_t handle)
{
    struct pending_request *request = NULL;
    struct handle_entry *entry = handles_find(&session->handles, handle);
    struct durable_listener *durable = durable_at(&session->durable, handle);
    if (entry && entry->kind == HANDLE_LISTENER)
        handles_remove(entry);
    if (durable)
        durable_remove(&session->durable, durable);
    while ((request = pending_next(&session->pending, request))) {
        if ((request->opcode == FRAME_ACCEPT || request->opcode == FRAME_LISTENER_CLOSE) && request->wire == handle)
            request->orphaned = true;
    }
}
