#include "client/durable.h"

#include "client/following.h"
#include "client/public_handle.h"
#include "client/session.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"

#include <stdlib.h>

void durable_deinit(struct durable *durable)
{
    while (durable->first)
        durable_remove(durable, durable->first);
}

struct durable_listener *durable_find(const struct durable *durable, int64_t handle)
{
    bool is_ours = handle_generation(public_to_wire(handle)) == 0;
    struct durable_listener *listener = is_ours ? durable->first : NULL;
    while (listener && listener->handle != handle)
        listener = listener->next;
    return listener;
}

struct durable_listener *durable_at(const struct durable *durable, int64_t wire)
{
    struct durable_listener *listener = durable->first;
    while (listener && listener->wire != wire)
        listener = listener->next;
    return listener;
}

bool durable_is_open(const struct durable *durable)
{
    const struct durable_listener *listener = durable->first;
    while (listener && listener->wire == 0)
        listener = listener->next;
    return listener;
}

/* One that no listener has now. */
static int64_t new_handle(struct oche_session *session)
{
    struct durable *durable = &session->durable;
    int64_t handle;
    do {
        durable->last_number = durable->last_number % HANDLE_SLOT_MAX + 1;
        handle = session->tag | durable->last_number;
    } while (durable_find(durable, handle));
    return handle;
}

struct durable_listener *durable_add(struct oche_session *session, const struct pending_request *listen, int64_t wire,
                                     const struct endpoints *endpoints)
{
    Oche__Listen *message = oche__listen__unpack(NULL, listen->body_length, listen->body);
    if (!message)
        return NULL;
    message->port = endpoints->local.port; /* which the system may have chosen */
    size_t length = oche__listen__get_packed_size(message);
    struct durable_listener *listener = malloc(sizeof *listener + length);
    if (listener) {
        *listener = (struct durable_listener){
            .next = session->durable.first,
            .handle = new_handle(session),
            .wire = wire,
            .entry = {.kind = HANDLE_LISTENER, .endpoints = *endpoints},
            .body_length = (uint16_t)length,
        };
        oche__listen__pack(message, listener->body);
        session->durable.first = listener;
    }
    oche__listen__free_unpacked(message, NULL);
    return listener;
}

void durable_remove(struct durable *durable, struct durable_listener *listener)
{
    struct durable_listener **place = &durable->first;
    while (*place != listener)
        place = &(*place)->next;
    *place = listener->next;
    free(listener);
}

static bool waits_for(const struct pending_request *request, int64_t handle)
{
    return (request->opcode == FRAME_ACCEPT || request->opcode == FRAME_LISTENER_CLOSE) && request->handle == handle;
}

void durable_fail(struct oche_session *session, int64_t handle, int64_t code, int os_error)
{
    struct durable_listener *listener = durable_find(&session->durable, handle);
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        struct oche_completion completion = {.result = code, .os_error = os_error};
        if (waits_for(request, handle))
            session_complete(session, request, &completion);
    }
    if (listener)
        durable_remove(&session->durable, listener);
}

int64_t durable_close_here(struct oche_session *session, int64_t request_id, const struct durable_listener *listener)
{
    int64_t handle = listener->handle;
    struct oche_completion completion = {.request_id = request_id};
    if (!completions_reserve(&session->completions, session->pending.count + 1))
        return OCHE_ERR_OUT_OF_MEMORY;
    struct pending_request *request = pending_add(&session->pending, FRAME_LISTENER_CLOSE);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    durable_fail(session, handle, OCHE_ERR_CLOSED, 0);
    request->handle = handle;
    request->unheard = true;
    completions_push(&session->completions, &completion);
    session_rouse(session);
    return 0;
}

static bool is_durable(const struct oche_session *session, const struct pending_request *request)
{
    if (request->opcode == FRAME_LISTEN)
        return request->durable;
    return request->opcode == FRAME_ACCEPT && durable_find(&session->durable, request->handle);
}

/* The application does not hear of this request, but of what it comes to for accepts. */
static bool listen_again(struct oche_session *session, struct durable_listener *listener)
{
    struct pending_request *request = pending_add(&session->pending, FRAME_LISTEN);
    if (!request)
        return false;
    request->handle = listener->handle;
    request->reopens = true;
    request->unheard = true;
    listener->wire = 0;
    return pending_keep_body(request, listener->body, listener->body_length);
}

bool durable_prepare(struct oche_session *session, int64_t code)
{
    struct pending_request *request = NULL;
    following_end_others(session, is_durable, code);
    while ((request = pending_next(&session->pending, request)))
        request->wire = 0; /* accepts wait until their listeners are open */
    for (struct durable_listener *listener = session->durable.first; listener; listener = listener->next) {
        if (!listen_again(session, listener))
            return false;
    }
    return session->pending.count > 0 && following_queue(session, 0);
}

bool durable_reopened(struct oche_session *session, int64_t handle, int64_t wire)
{
    struct durable_listener *listener = durable_find(&session->durable, handle);
    struct pending_request *request = NULL;
    if (listener)
        listener->wire = wire;
    while ((request = pending_next(&session->pending, request))) {
        if (waits_for(request, handle))
            request->wire = wire;
    }
    return following_queue(session, wire);
}
