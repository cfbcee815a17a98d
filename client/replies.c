#include "client/replies.h"

#include "client/public_handle.h"
#include "client/session.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/handle.h"
#include "proto/oche.pb-c.h"

#include <stdlib.h>

/* Looks at a successful reply and fills in the completion's result, which is value at first, and
 * data, which it takes from message->payload. NULL, or what is wrong. */
typedef const char *reply_handler(struct oche_session *session, const struct pending_request *request,
                                  struct frame_message *message, struct oche_completion *completion);

/* CONNECT, LISTEN, ACCEPT: a new handle and its endpoints. */
static const char *take_socket(struct oche_session *session, const struct pending_request *request,
                               struct frame_message *message, struct oche_completion *completion)
{
    int64_t handle = message->frame.value;
    enum handle_kind kind = request->opcode == FRAME_LISTEN ? HANDLE_LISTENER : HANDLE_CONNECTION;
    struct endpoints endpoints;

    if (!handle_is_wellformed(handle))
        return "a handle that is none";
    if (message->frame.payload_length != ENDPOINTS_SIZE || !endpoints_decode(&endpoints, message->payload))
        return "a handle without endpoints";
    if ((endpoints.remote.address_length == 0) != (kind == HANDLE_LISTENER))
        return "endpoints of the other kind of socket";
    if (request->doomed) {
        /* The daemon accepted before it saw that the listener goes, and closes the connection with
         * it. */
        completion->result = OCHE_ERR_CLOSED;
        return NULL;
    }
    if (handles_slot_is_taken(&session->handles, handle))
        return "a new handle in the place of one that is open";

    struct handle_entry *entry = handles_add(&session->handles, handle, kind);
    if (!entry)
        return "no memory for its handle";
    entry->endpoints = endpoints;
    if (request->opcode == FRAME_ACCEPT)
        entry->listener = public_to_wire(request->handle);
    completion->result = session->tag | handle;
    return NULL;
}

static const char *take_data(struct oche_session *session, const struct pending_request *request,
                             struct frame_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)request;
    if (message->frame.value == 0 || message->frame.value != message->frame.payload_length)
        return "a count that is not the length of the data";
    completion->data = message->payload;
    completion->data_owner = message->payload;
    message->payload = NULL;
    return NULL;
}

static const char *take_count(struct oche_session *session, const struct pending_request *request,
                              struct frame_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)completion;
    return message->frame.value == request->argument ? NULL : "a count of other bytes than were written";
}

static const char *take_nothing(struct oche_session *session, const struct pending_request *request,
                                struct frame_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)request;
    (void)completion;
    return message->frame.value == 0 ? NULL : "a value where none belongs";
}

static const char *take_option(struct oche_session *session, const struct pending_request *request,
                               struct frame_message *message, struct oche_completion *completion)
{
    struct handle_entry *entry = handles_find(&session->handles, public_to_wire(request->handle));
    if (entry && request->option == OCHE__OPTION__NAME__KEEP_ALIVE)
        entry->endpoints.keep_alive = request->argument;
    else if (entry)
        entry->endpoints.no_delay = request->argument;
    return take_nothing(session, request, message, completion);
}

static const char *take_statistics(struct oche_session *session, const struct pending_request *request,
                                   struct frame_message *message, struct oche_completion *completion)
{
    Oche__Statistics *numbers = oche__statistics__unpack(NULL, message->frame.body_length, message->body);
    if (!numbers)
        return "statistics that cannot be read";
    *request->statistics = (struct oche_statistics){
        .uptime_seconds = numbers->uptime_seconds,
        .sessions_open = numbers->sessions_open,
        .sessions_total = numbers->sessions_total,
        .sockets_open = numbers->sockets_open,
        .connections_accepted = numbers->connections_accepted,
        .connections_made = numbers->connections_made,
        .bytes_received = numbers->bytes_received,
        .bytes_sent = numbers->bytes_sent,
        .session_handles = numbers->session_handles,
        .session_queued_bytes = numbers->session_queued_bytes,
    };
    oche__statistics__free_unpacked(numbers, NULL);
    return take_nothing(session, request, message, completion);
}

/* What the success of each operation looks like. HELLO is answered before there is a session, and
 * never again. */
static const struct reply_rule {
    reply_handler *handler;
    bool has_payload;
    bool has_body;
} rules[FRAME_OPCODE_END] = {
    [FRAME_CONNECT] = {take_socket, .has_payload = true},
    [FRAME_LISTEN] = {take_socket, .has_payload = true},
    [FRAME_ACCEPT] = {take_socket, .has_payload = true},
    [FRAME_READ] = {take_data, .has_payload = true},
    [FRAME_WRITE] = {take_count},
    [FRAME_CLOSE_WRITE] = {take_nothing},
    [FRAME_CLOSE] = {take_nothing},
    [FRAME_LISTENER_CLOSE] = {take_nothing},
    [FRAME_SET_OPTION] = {take_option},
    [FRAME_STATISTICS] = {take_statistics, .has_body = true},
};

static const char *take_success(struct oche_session *session, const struct pending_request *request,
                                struct frame_message *message, struct oche_completion *completion)
{
    const struct reply_rule *rule = &rules[request->opcode];
    if (message->frame.payload_length != 0 && !rule->has_payload)
        return "a payload where none belongs";
    if (message->frame.body_length != 0 && !rule->has_body)
        return "a body where none belongs";
    return rule->handler(session, request, message, completion);
}

static const char *take(struct oche_session *session, struct frame_message *message)
{
    const struct frame *frame = &message->frame;
    if (frame->flags != FRAME_REPLY || frame->payload_offset != 0)
        return "not a reply";
    struct pending_request *request = pending_find(&session->pending, frame->request_id);
    if (!request)
        return "an answer to no request";
    if (request->opcode != frame->opcode)
        return "an answer to another kind of request";

    struct oche_completion completion = {.result = frame->value};
    if (frame->value >= 0) {
        const char *fault = take_success(session, request, message, &completion);
        if (fault)
            return fault;
    } else {
        if (frame->payload_length != 0 || frame->body_length != 0)
            return "a failure with data";
        completion.os_error = frame->os_error;
    }

    if (request->opcode == FRAME_READ) {
        struct handle_entry *entry = handles_find(&session->handles, public_to_wire(request->handle));
        if (entry)
            entry->read_pending = false;
    }
    session_complete(session, request, &completion);
    return NULL;
}

const char *replies_take(struct oche_session *session, struct frame_message *message)
{
    const char *fault = take(session, message);
    free(message->payload);
    return fault;
}
