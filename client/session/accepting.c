#include "client/session/accepting.h"

#include "client/session/admission.h"
#include "client/session/following.h"
#include "client/session/operations.h"
#include "client/session/public_handle.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/handle.h"

/* The connection that has come for an accept whose limit was over; NULL: there is none. *handle: the wire's. */
static struct handle_entry *find_unclaimed(const struct oche_session *session, int64_t listener, int64_t *handle)
{
    size_t position = 0;
    struct handle_entry *entry;
    while ((entry = handles_next_accepted(&session->handles, public_to_wire(listener), &position))) {
        *handle = handle_make((uint32_t)position - 1, entry->generation);
        if (entry->is_unclaimed)
            return entry;
    }
    return NULL;
}

/* An accept that finds a connection is not even made. */
static int64_t accept_at_once(struct oche_session *session, int64_t request_id, struct handle_entry *listener,
                              struct handle_entry *connection, int64_t handle)
{
    struct oche_completion completion = {.request_id = request_id, .result = session->tag | handle};
    if (!completions_reserve(&session->completions, session->pending.count + 1))
        return OCHE_ERR_OUT_OF_MEMORY;
    if (session->brings_endpoints) {
        struct data *record = data_new_empty(ENDPOINTS_SIZE);
        if (!record)
            return OCHE_ERR_OUT_OF_MEMORY;
        endpoints_encode(&connection->endpoints, record->bytes);
        record->endpoints = true;
        completion.data = record->bytes;
        completion.data_owner = record;
    }
    connection->is_unclaimed = false;
    listener->unclaimed--;
    completions_push(&session->completions, &completion);
    session_rouse(session);
    return 0;
}

int64_t accepting_accept(struct oche_session *session, int64_t request_id, int64_t listener)
{
    struct handle_entry *entry;
    int64_t handle;
    int64_t status = admission_find_listener(session, listener, &entry);
    if (status < 0)
        return status;
    struct handle_entry *unclaimed = entry->unclaimed > 0 ? find_unclaimed(session, listener, &handle) : NULL;
    if (unclaimed)
        return accept_at_once(session, request_id, entry, unclaimed, handle);
    struct pending_request *request = request_begin(session, FRAME_ACCEPT, request_id, listener, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    if (request->wire) /* else see following_reopened() */
        request_send(session, request, NULL, 0);
    return 0;
}

static void forget_accepted(struct oche_session *session, int64_t listener, struct pending_request *close)
{
    size_t position = 0;
    struct handle_entry *entry;
    while ((entry = handles_next_accepted(&session->handles, public_to_wire(listener), &position)))
        operation_forget(session, entry, close);
}

/* The daemon closes with the listener also those connections that it has accepted and we have not heard of. */
static void doom_accepts(struct oche_session *session, int64_t listener)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        if (request->opcode == FRAME_ACCEPT && request->handle == listener)
            request->listener_closed = true;
    }
}

/* Closes the connections of a listener that no accept will get. False: no memory. */
static bool close_unclaimed(struct oche_session *session, int64_t listener, struct handle_entry *entry)
{
    struct handle_entry *connection;
    int64_t handle;
    while (entry->unclaimed > 0 && (connection = find_unclaimed(session, listener, &handle))) {
        if (lane_reserve(&session->lane, 0, 0) < 0)
            return false;
        struct pending_request *request = request_begin_internal(session, FRAME_CLOSE, 0);
        if (!request)
            return false;
        request->wire = handle;
        request_send(session, request, NULL, 0);
        handles_remove(connection);
        entry->unclaimed--;
    }
    return true;
}

int64_t accepting_close(struct oche_session *session, int64_t request_id, int64_t listener, bool force)
{
    struct handle_entry *entry;
    int64_t status = admission_find_listener(session, listener, &entry);
    if (status < 0)
        return status;
    if (!close_unclaimed(session, listener, entry))
        return OCHE_ERR_OUT_OF_MEMORY;
    struct durable_listener *durable = durable_find(&session->durable, listener);
    if (durable && durable->wire == 0)
        return following_close_here(session, request_id, durable);
    struct pending_request *request = request_begin(session, FRAME_LISTENER_CLOSE, request_id, listener, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request->argument = force;
    request_send(session, request, NULL, 0); /* first, for what is given back may take the room reserved for it */
    if (force) {
        forget_accepted(session, listener, request);
        doom_accepts(session, listener);
    }
    if (durable)
        durable_remove(&session->durable, durable);
    else
        handles_remove(entry);
    return 0;
}
