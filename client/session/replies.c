/*
 * Every frame from the daemon passes the same checks in the same order: it is a reply; it is either one of those that
 * answer no request (HANDOVER, PONG, a break, what reading brings) or names a pending one; it has that request's
 * opcode; and, if it tells a success, the row of that opcode says what the frame may carry and who takes it. A failure
 * carries nothing.
 *
 * A frame that fails a check is a fault: the function says which, and the caller gives the daemon up.
 */
#include "client/session/replies.h"

#include "client/session/durable.h"
#include "client/session/following.h"
#include "client/session/public_handle.h"
#include "client/session/public_struct.h"
#include "client/session/request.h"
#include "client/session/securing.h"
#include "client/session/session.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/handle.h"
#include "proto/handover.h"
#include "proto/oche.pb-c.h"

#include <string.h>

/* Looks at a successful reply and fills in the completion's result, which is value at first. NULL, or what is wrong. */
typedef const char *reply_handler(struct oche_session *session, const struct pending_request *request,
                                  struct lane_message *message, struct oche_completion *completion);

static const char *add_durable(struct oche_session *session, const struct pending_request *request, int64_t wire,
                               const struct endpoints *endpoints, struct oche_completion *completion)
{
    const struct durable_listener *listener = durable_add(&session->durable, session->tag, request, wire, endpoints);
    handles_note(&session->handles, wire);
    if (!listener)
        return "no memory for its listener";
    completion->result = listener->handle;
    return NULL;
}

/* Of the socket that the request has made. */
static enum handle_kind kind_of(const struct pending_request *request)
{
    switch (request->opcode) {
    case FRAME_LISTEN:
        return HANDLE_LISTENER;
    case FRAME_DATAGRAM:
        return HANDLE_DATAGRAM;
    case FRAME_TLS_CONTEXT:
        return HANDLE_TLS_CONTEXT;
    default:
        return HANDLE_CONNECTION;
    }
}

static const char *add_handle(struct oche_session *session, const struct pending_request *request, int64_t handle,
                              const struct endpoints *endpoints, struct oche_completion *completion)
{
    struct handle_entry *entry = handles_add(&session->handles, handle, kind_of(request));
    if (!entry)
        return "no memory for its handle";
    entry->reading.datagrams = entry->kind == HANDLE_DATAGRAM;
    entry->endpoints = *endpoints;
    entry->is_bound = request->opcode == FRAME_LISTEN && request->is_bound;
    if (request->opcode == FRAME_ACCEPT)
        entry->listener = public_to_wire(request->handle);
    if (request->opcode == FRAME_ACCEPT && request->no_completion) {
        entry->is_unclaimed = true;
        session_find(session, request->handle)->unclaimed++;
    }
    completion->result = session->tag | handle;
    return NULL;
}

/* CONNECT, LISTEN, ACCEPT, DATAGRAM: a new handle and its endpoints. */
static const char *take_socket(struct oche_session *session, const struct pending_request *request,
                               struct lane_message *message, struct oche_completion *completion)
{
    int64_t handle = message->frame.value;
    struct endpoints endpoints;

    if (!handle_is_wellformed(handle))
        return "a handle that is none";
    if (message->frame.payload_length == 0 ||
        !endpoints_decode(&endpoints, message->data->bytes, message->frame.payload_length))
        return "a handle without endpoints";
    if (kind_of(request) != HANDLE_DATAGRAM &&
        (endpoints.remote.address_length == 0) != (kind_of(request) == HANDLE_LISTENER))
        return "endpoints of the other kind of socket";
    if (request->listener_closed) {
        /* The daemon accepted before it saw that the listener goes, and closes the connection with
         * it. */
        completion->result = OCHE_ERR_CLOSED;
        return NULL;
    }
    if (request_is_unwanted(session, request))
        return NULL; /* take_reply() closes it */
    if (handles_slot_is_taken(&session->handles, handle))
        return "a new handle in the place of one that is open";
    if (request->reopens) {
        handles_note(&session->handles, handle);
        return following_reopened(session, request->handle, handle) ? NULL : "no memory to go on with its listener";
    }

    const char *fault = request->durable ? add_durable(session, request, handle, &endpoints, completion)
                                         : add_handle(session, request, handle, &endpoints, completion);
    if (!fault && session->brings_endpoints && !request->no_completion) {
        completion->data = message->data->bytes;
        completion->data_owner = message->data;
        message->data->endpoints = true;
        message->data = NULL;
    }
    return fault;
}

static const char *take_context(struct oche_session *session, const struct pending_request *request,
                                struct lane_message *message, struct oche_completion *completion)
{
    static const struct endpoints none;
    if (!handle_is_wellformed(message->frame.value))
        return "a handle that is none";
    if (handles_slot_is_taken(&session->handles, message->frame.value))
        return "a new handle in the place of one that is open";
    return add_handle(session, request, message->frame.value, &none, completion);
}

static const char *take_count(struct oche_session *session, const struct pending_request *request,
                              struct lane_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)completion;
    return message->frame.value == request->argument ? NULL : "a count of other bytes than were written";
}

static const char *take_nothing(struct oche_session *session, const struct pending_request *request,
                                struct lane_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)request;
    (void)completion;
    return message->frame.value == 0 ? NULL : "a value where none belongs";
}

static const char *take_option(struct oche_session *session, const struct pending_request *request,
                               struct lane_message *message, struct oche_completion *completion)
{
    struct handle_entry *entry = handles_find(&session->handles, public_to_wire(request->handle));
    if (entry && request->option == OCHE__OPTION__NAME__KEEP_ALIVE)
        entry->endpoints.keep_alive = request->argument;
    else if (entry && request->option == OCHE__OPTION__NAME__NO_DELAY)
        entry->endpoints.no_delay = request->argument;
    return take_nothing(session, request, message, completion);
}

static const char *take_option_value(struct oche_session *session, const struct pending_request *request,
                                     struct lane_message *message, struct oche_completion *completion)
{
    (void)session;
    (void)completion;
    Oche__RawOption *option = oche__raw_option__unpack(NULL, message->frame.body_length, message->body);
    if (!option)
        return "an option that cannot be read";
    bool fits = option->value.len <= (uint64_t)request->argument && message->frame.value == (int64_t)option->value.len;
    if (fits && request->value && option->value.len > 0)
        memcpy(request->value, option->value.data, option->value.len);
    oche__raw_option__free_unpacked(option, NULL);
    return fits ? NULL : "a value of an option that is longer than was asked for";
}

static const char *take_info(struct oche_session *session, const struct pending_request *request,
                             struct lane_message *message, struct oche_completion *completion)
{
    uint32_t length = message->frame.payload_length;
    (void)session;
    if (message->frame.value != length)
        return "an item of another length than it has";
    if (request->waiter) {
        if (length > 0 && length <= request->room)
            memcpy(request->value, message->data->bytes, length);
        return NULL;
    }
    if (request->no_completion || length == 0)
        return NULL;
    completion->data = message->data->bytes;
    completion->data_owner = message->data;
    message->data = NULL;
    return NULL;
}

static struct oche_quota take_quota(const Oche__Quota *quota)
{
    if (!quota)
        return (struct oche_quota){0};
    return (struct oche_quota){.used = quota->used, .limit = quota->limit, .refused = quota->refused};
}

static const char *take_statistics(struct oche_session *session, const struct pending_request *request,
                                   struct lane_message *message, struct oche_completion *completion)
{
    Oche__Statistics *numbers = oche__statistics__unpack(NULL, message->frame.body_length, message->body);
    if (!numbers)
        return "statistics that cannot be read";
    const struct oche_statistics statistics = {
        .uptime_seconds = numbers->uptime_seconds,
        .sessions_open = numbers->sessions_open,
        .sessions_total = numbers->sessions_total,
        .sockets_open = numbers->sockets_open,
        .connections_accepted = numbers->connections_accepted,
        .connections_made = numbers->connections_made,
        .bytes_received = numbers->bytes_received,
        .bytes_sent = numbers->bytes_sent,
        .handshakes = numbers->handshakes,
        .handshakes_resumed = numbers->handshakes_resumed,
        .handshakes_failed = numbers->handshakes_failed,
        .session_handles = numbers->session_handles,
        .session_queued_bytes = numbers->session_queued_bytes,
        .user = numbers->user,
        .user_sessions = take_quota(numbers->user_sessions),
        .user_handles = take_quota(numbers->user_handles),
        .user_queued_bytes = take_quota(numbers->user_queued_bytes),
        .user_arena_bytes = take_quota(numbers->user_arena_bytes),
        .user_requests = take_quota(numbers->user_requests),
        .user_session_rate = take_quota(numbers->user_session_rate),
        .user_connection_rate = take_quota(numbers->user_connection_rate),
    };
    if (request->statistics)
        public_struct_give(request->statistics, &statistics, sizeof statistics,
                           PUBLIC_STRUCT_UNTIL(struct oche_statistics, user_connection_rate));
    oche__statistics__free_unpacked(numbers, NULL);
    return take_nothing(session, request, message, completion);
}

/* What the success of each operation looks like. HELLO is answered before there is a session, and never again; READ and
 * RELEASE have no replies. */
static const struct reply_rule {
    reply_handler *handler;
    bool has_payload;
    bool has_body;
    bool has_words; /* of a failure, or of a success that has to be explained */
} rules[FRAME_OPCODE_END] = {
    [FRAME_CONNECT] = {take_socket, .has_payload = true, .has_words = true},
    [FRAME_TLS_CONTEXT] = {take_context, .has_words = true},
    [FRAME_LISTEN] = {take_socket, .has_payload = true},
    [FRAME_ACCEPT] = {take_socket, .has_payload = true},
    [FRAME_DATAGRAM] = {take_socket, .has_payload = true},
    [FRAME_WRITE] = {take_count},
    [FRAME_PAUSE] = {take_nothing},
    [FRAME_SECURE] = {take_nothing, .has_words = true},
    [FRAME_TRUST] = {take_nothing, .has_words = true},
    [FRAME_TLS_INFO] = {take_info, .has_payload = true},
    [FRAME_TLS_REPLACE] = {take_nothing, .has_words = true},
    [FRAME_CLOSE_WRITE] = {take_nothing},
    [FRAME_CLOSE] = {take_nothing},
    [FRAME_ABORT] = {take_nothing},
    [FRAME_LISTENER_CLOSE] = {take_nothing},
    [FRAME_SET_OPTION] = {take_option},
    [FRAME_STATISTICS] = {take_statistics, .has_body = true},
    [FRAME_GET_OPTION] = {take_option_value, .has_body = true},
};

static const char *take_success(struct oche_session *session, const struct pending_request *request,
                                struct lane_message *message, struct oche_completion *completion)
{
    const struct reply_rule *rule = &rules[request->opcode];
    if (message->frame.payload_length != 0 && !rule->has_payload)
        return "a payload where none belongs";
    if (message->frame.body_length != 0 && !rule->has_body && !rule->has_words)
        return "a body where none belongs";
    return rule->handler(session, request, message, completion);
}

/* A close was answered: the reads that were pending on what it closed end first. */
static void end_reads(struct oche_session *session, const struct pending_request *close)
{
    for (uint32_t number = close->reads; number != 0;) {
        struct pending_request *read = pending_numbered(&session->pending, number);
        struct oche_completion completion = {.result = OCHE_ERR_CLOSED};
        number = read->reads;
        request_complete(session, read, &completion);
    }
}

/* What the daemon says of what it has done, or has not. There is one place for that and for data, of which words are
 * the more important. False: it cannot be read. */
static bool take_words(struct oche_session *session, const struct lane_message *message,
                       struct oche_completion *completion)
{
    Oche__Failure *failure = oche__failure__unpack(NULL, message->frame.body_length, message->body);
    if (!failure)
        return false;
    uint32_t length = (uint32_t)strlen(failure->text);
    struct data *words = session->brings_words ? data_new_empty(length + 1) : NULL;
    if (words) { /* else there is a code, and no memory for more */
        if (completion->data)
            lane_give_back(&session->lane, completion->data_owner);
        completion->data = NULL;
        memcpy(words->bytes, failure->text, length + 1);
        completion->why = (const char *)words->bytes;
        completion->data_owner = words;
    }
    oche__failure__free_unpacked(failure, NULL);
    return true;
}

static const char *take_reply(struct oche_session *session, struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    struct pending_request *request = pending_find(&session->pending, frame->request_id);
    if (!request)
        return "an answer to no request";
    if (request->opcode != frame->opcode)
        return "an answer to another kind of request";

    struct oche_completion completion = {.result = frame->value};
    if (frame->value >= 0) {
        if (request->opcode == FRAME_ACCEPT && request->no_completion)
            request_pass_on(session, request);
        const char *fault = take_success(session, request, message, &completion);
        if (fault)
            return fault;
        if (rules[request->opcode].has_words && frame->body_length != 0 && !take_words(session, message, &completion))
            return "words that cannot be read";
        bool is_paused = request->opcode == FRAME_PAUSE;
        if (is_paused && securing_go_on(session, request))
            return NULL;
        if (is_paused)
            completion.result = session_find(session, request->handle) ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_CLOSED;
        if (request_is_unwanted(session, request) && !request->listener_closed) {
            lane_give_back(&session->lane, completion.data_owner); /* words about it, which nobody wants either */
            return request_close_late(session, request, frame->value) ? NULL : "no memory to close what came too late";
        }
    } else {
        if (frame->payload_length != 0 || (frame->body_length != 0 && !rules[request->opcode].has_words))
            return "a failure with data";
        if (frame->body_length != 0 && !take_words(session, message, &completion))
            return "a failure whose words cannot be read";
        if (following_keeps(session, request, frame->value))
            return NULL;
        if (request->listener_lost && frame->value == OCHE_ERR_INVALID_HANDLE)
            completion.result = OCHE_ERR_DAEMON_LOST;
        completion.os_error = frame->os_error;
        if (request->reopens && frame->value == OCHE_ERR_DAEMON_LOST)
            return "it is handing over, and takes no listeners"; /* the next one may */
        if (request->reopens)
            following_fail(session, request->handle, frame->value, frame->os_error);
    }
    if (request->opcode == FRAME_PAUSE || request->opcode == FRAME_SECURE || request->opcode == FRAME_TRUST)
        securing_end(session, request, completion.result, frame->os_error);
    if (completion.result >= 0 && frame->body_length != 0 && rules[request->opcode].has_words)
        securing_ask(session, request->opcode == FRAME_CONNECT ? completion.result : request->handle);
    end_reads(session, request);
    request_complete(session, request, &completion);
    return NULL;
}

/* Completes the read that waits for what has come; it waits no more. */
static void complete_read(struct oche_session *session, struct reading *reading, struct oche_completion *completion)
{
    struct pending_request *request = pending_numbered(&session->pending, reading->request);
    reading->request = 0;
    request_complete(session, request, completion);
}

static const char *take_data(struct oche_session *session, struct reading *reading, struct lane_message *message)
{
    uint32_t length = message->frame.payload_length;
    if (length == 0 || message->frame.value != length)
        return "a count that is not the length of the data";
    struct endpoint source;
    if (reading->datagrams && (!endpoint_decode(&source, message->data->bytes, length) || source.address_length == 0))
        return "a datagram without its source";
    if (!reading_come(reading, length))
        return "data that was not asked for";
    message->data->datagram = reading->datagrams;
    if (reading->request) {
        struct oche_completion completion = reading_deliver(reading, message->data);
        complete_read(session, reading, &completion);
    } else {
        data_queue_push(&reading->ahead, message->data);
    }
    message->data = NULL;
    return NULL;
}

static const char *take_end(struct oche_session *session, struct reading *reading, const struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    if (frame->payload_length != 0)
        return "a failure with data";
    if (frame->value < INT32_MIN || !reading_finish(reading, (int32_t)frame->value, frame->os_error))
        return "a second end of the same stream";
    if (reading->request) {
        struct oche_completion completion = reading_deliver_end(reading);
        complete_read(session, reading, &completion);
    }
    return NULL;
}

/* What came from a connection or a datagram socket, or how it ended. The application may have closed it meanwhile: then
 * nobody wants it. */
static const char *take_reading(struct oche_session *session, struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    if (frame->request_id != 0 || frame->body_length != 0)
        return "not what reading brings";
    struct handle_entry *entry = handles_find(&session->handles, frame->handle);
    if (!entry)
        return NULL;
    if (entry->kind != HANDLE_CONNECTION && entry->kind != HANDLE_DATAGRAM)
        return "data from what brings none";
    return frame->value < 0 ? take_end(session, &entry->reading, message)
                            : take_data(session, &entry->reading, message);
}

/* A connection broke while nothing was under way on it. */
static const char *take_break(struct oche_session *session, const struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    if (frame->value != OCHE_ERR_WRITE_FAILED || frame->body_length != 0 || frame->payload_length != 0)
        return "not how a connection breaks";
    struct handle_entry *entry = handles_find(&session->handles, frame->handle);
    if (!entry || !entry->has_written || !session->tells_breaks)
        return NULL;
    if (!completions_reserve(&session->completions, session->pending.count + 1))
        return "no memory for its message";
    const struct oche_completion completion = {
        .request_id = entry->last_write,
        .result = OCHE_ERR_READ_FAILED, /* so that it is not taken for an outcome of that write, which has succeeded */
        .os_error = frame->os_error,
    };
    entry->has_written = false;
    completions_push(&session->completions, &completion);
    return NULL;
}

/* The last word of the daemon, or the first ones of its successor. */
static const char *take_handover(struct oche_session *session, const struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    bool known = frame->value == HANDOVER_YOURS || frame->value == HANDOVER_LOST;
    if (!session->has_token || !known || frame->request_id != 0 || frame->body_length != 0 ||
        frame->payload_length != 0)
        return "not how a daemon hands over";
    if (frame->value == HANDOVER_LOST)
        following_lose(session, frame->handle);
    else
        session->handed_over = true;
    return NULL;
}

/* The daemon is there. */
static const char *take_pong(struct oche_session *session, const struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    if (frame->request_id != 0 || frame->value != 0 || frame->body_length != 0 || frame->payload_length != 0)
        return "not how a daemon answers PING";
    return heartbeat_answered(&session->schedule.heartbeat) ? NULL : "an answer to no PING";
}

static const char *take_frame(struct oche_session *session, struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    if ((frame->flags & ~FRAME_QUIET) != FRAME_REPLY || frame->payload_offset != 0)
        return "not a reply";
    if (frame->opcode == FRAME_HANDOVER)
        return take_handover(session, message);
    if (frame->opcode == FRAME_PING)
        return take_pong(session, message);
    if (frame->opcode == FRAME_WRITE && frame->request_id == 0)
        return take_break(session, message);
    return frame->opcode == FRAME_READ ? take_reading(session, message) : take_reply(session, message);
}

const char *replies_take(struct oche_session *session, struct lane_message *message)
{
    const char *fault = take_frame(session, message);
    lane_give_back(&session->lane, message->data);
    return fault;
}
