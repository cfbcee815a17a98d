/*
 * A request is a slot of session->pending, from request_begin() until request_complete(). Between the two it is in one
 * of these states, which follow from its fields:
 *
 *    unsent      an ACCEPT or LISTENER_CLOSE on a durable listener that is not open at a daemon; `wire` is 0
 *    sent        the daemon owes the answer that completes it; a READ is completed by data instead
 *    cancelled   the application gave it up; still the answer completes it, with OCHE_ERR_CLOSED as a rule
 *    timed out   it has completed for the application (`no_completion`); the answer only frees the slot, or turns the
 *                request into a CLOSE or LISTENER_CLOSE of what came too late
 *
 * Of a READ, and of what is unsent, the daemon does not know: cancelled or timed out it is no more. But a READ on a
 * connection that is closed stays until the close is answered, which refers to it.
 *
 * What the request may need later is reserved when it begins, because in between memory can run out: room for its
 * frame, and for the completions of all pending requests and itself. That is why completing, timing out and ending
 * cannot fail.
 */
#include "client/session/request.h"

#include "client/os/deadline.h"
#include "client/os/waiter.h"
#include "client/session/public_handle.h"
#include "client/session/session.h"
#include "proto/errors.h"

#include <errno.h>

/* ---- beginning ---- */

struct pending_request *request_begin(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                      int64_t handle, size_t body_length, size_t count)
{
    if (lane_reserve(&session->lane, body_length, count) < 0 ||
        !completions_reserve(&session->completions, session->pending.count + 1))
        return NULL;
    struct pending_request *request = pending_add(&session->pending, opcode);
    if (!request)
        return NULL;
    const struct durable_listener *durable = durable_find(&session->durable, handle);
    request->request_id = request_id;
    request->handle = handle;
    if (pending_is_owed(opcode))
        schedule_owe(&session->schedule);
    request->wire = durable ? durable->wire : public_to_wire(handle);
    return request;
}

struct pending_request *request_begin_repeatable(struct oche_session *session, enum frame_opcode opcode,
                                                 int64_t request_id, const uint8_t *body, size_t body_length)
{
    struct pending_request *request = request_begin(session, opcode, request_id, 0, body_length, 0);
    if (request && !pending_keep_body(request, body, body_length)) {
        pending_remove(&session->pending, request);
        return NULL;
    }
    return request;
}

struct pending_request *request_begin_internal(struct oche_session *session, enum frame_opcode opcode, int64_t handle)
{
    struct pending_request *request = pending_add(&session->pending, opcode);
    if (!request)
        return NULL;
    request->handle = handle;
    request->no_completion = true;
    return request;
}

/* ---- sending ---- */

/*
 * A request that answers a single completion, or comes on its own, goes out at once: its latency is what counts. After
 * a batch of completions the application is likely to make as many requests, one after the other; they are queued, and
 * the dispatcher, whom the first one wakes, sends them together.
 */
enum lane_urgency request_urgency(const struct oche_session *session)
{
    return session->last_batch > 1 ? LANE_WITH_THE_BATCH : LANE_AT_ONCE;
}

static struct frame frame_of(const struct oche_session *session, const struct pending_request *request)
{
    return (struct frame){
        .opcode = request->opcode,
        .request_id = pending_wire_id(&session->pending, request),
        .handle = request->wire,
        .flags = request->no_ack ? FRAME_QUIET : 0,
        .value = request->opcode == FRAME_LISTENER_CLOSE || request->opcode == FRAME_TLS_INFO ? request->argument : 0,
    };
}

void request_send_all(struct oche_session *session, const struct pending_request *request, const uint8_t *body,
                      size_t body_length, const void *payload, size_t count)
{
    struct frame frame = frame_of(session, request);
    frame.body_length = (uint16_t)body_length;
    lane_put(&session->lane, &frame, body, payload, count, request_urgency(session));
    if (session->state == SESSION_LOST)
        session_await(session);
}

void request_send(struct oche_session *session, const struct pending_request *request, const uint8_t *body,
                  size_t body_length)
{
    request_send_all(session, request, body, body_length, NULL, 0);
}

bool request_send_again(struct oche_session *session, const struct pending_request *request)
{
    struct frame frame = frame_of(session, request);
    frame.body_length = request->body_length;
    if (lane_reserve(&session->lane, request->body_length, 0) < 0)
        return false;
    lane_put(&session->lane, &frame, request->body, NULL, 0, LANE_WITH_THE_BATCH);
    return true;
}

/* ---- limits and cancelling ---- */

/* The limit of a request, if it has one, does not matter any more. */
static void unlimit(struct oche_session *session, struct pending_request *request)
{
    if (request->limit_at == 0)
        return;
    request->limit_at = 0;
    schedule_unlimit(&session->schedule);
}

void request_limit(struct oche_session *session, struct pending_request *request, uint32_t milliseconds)
{
    unlimit(session, request);
    if (milliseconds == 0)
        return;
    request->limit_at = deadline_now() + milliseconds;
    schedule_limit(&session->schedule, request->limit_at);
}

/* Tells the daemon that a request is not wanted any more, and expects its answer soon. False: no memory. */
static bool send_cancel(struct oche_session *session, struct pending_request *request, enum lane_urgency urgency)
{
    struct frame frame = {.opcode = FRAME_CANCEL, .value = pending_wire_id(&session->pending, request)};
    if (lane_reserve(&session->lane, 0, 0) < 0)
        return false;
    lane_put(&session->lane, &frame, NULL, NULL, 0, urgency);
    pending_owe(&session->pending, request);
    schedule_owe(&session->schedule);
    return true;
}

/* The daemon ends such requests when it is told to, if it still can. */
static bool is_ended_by_daemon(const struct pending_request *request)
{
    return request->opcode == FRAME_CONNECT || request->opcode == FRAME_ACCEPT || request->opcode == FRAME_WRITE ||
           request->opcode == FRAME_CLOSE_WRITE;
}

/* What data would complete, or NULL. */
static struct reading *find_reading(struct oche_session *session, const struct pending_request *request)
{
    struct handle_entry *entry = request->opcode == FRAME_READ ? session_find(session, request->handle) : NULL;
    bool waits = entry && entry->reading.request == pending_number(&session->pending, request);
    return waits ? &entry->reading : NULL;
}

/* The application hears of the end of a request before the daemon does. */
static void end_early(struct oche_session *session, struct pending_request *request, int64_t result, int os_error)
{
    struct oche_completion completion = {.result = result, .os_error = os_error};
    struct reading *reading = find_reading(session, request);
    if (reading)
        reading->request = 0;
    if (reading || (request->opcode == FRAME_ACCEPT && request->wire == 0)) {
        request_complete(session, request, &completion);
        return;
    }
    completion.request_id = request->request_id;
    completions_push(&session->completions, &completion);
    unlimit(session, request);
    request->no_completion = true;
    request->value = NULL;
    if (request->opcode == FRAME_STATISTICS)
        request->statistics = NULL;
}

void request_time_out(struct oche_session *session, struct pending_request *request)
{
    bool cancelled = request->cancelled;
    session->idle = false;
    end_early(session, request, cancelled ? OCHE_ERR_CLOSED : OCHE_ERR_TIMED_OUT, cancelled ? ECANCELED : ETIMEDOUT);
    if (!cancelled && is_ended_by_daemon(request)) /* which a request that is no more is not */
        send_cancel(session, request, LANE_WITH_THE_BATCH);
}

int64_t request_cancel(struct oche_session *session, struct pending_request *request)
{
    bool is_unsent = request->opcode == FRAME_ACCEPT && request->wire == 0;
    if (request->opcode == FRAME_READ || is_unsent) {
        end_early(session, request, OCHE_ERR_CLOSED, ECANCELED);
        session_rouse(session);
        return 0;
    }
    if (request->opcode != FRAME_LISTEN && request->opcode != FRAME_DATAGRAM && !is_ended_by_daemon(request))
        return OCHE_ERR_INVALID_ARGUMENT;
    if (!request->cancelled && is_ended_by_daemon(request) && !send_cancel(session, request, request_urgency(session)))
        return OCHE_ERR_OUT_OF_MEMORY;
    request->cancelled = true;
    return 0;
}

bool request_is_unwanted(const struct oche_session *session, const struct pending_request *request)
{
    switch (request->opcode) {
    case FRAME_CONNECT:
        return request->no_completion;
    case FRAME_DATAGRAM:
        return request->cancelled || request->no_completion;
    case FRAME_LISTEN:
        return request->cancelled || (request->no_completion && !request->reopens);
    case FRAME_ACCEPT:
        return request->no_completion && !session_find(session, request->handle);
    default:
        return false;
    }
}

bool request_close_late(struct oche_session *session, struct pending_request *request, int64_t wire)
{
    if (lane_reserve(&session->lane, 0, 0) < 0)
        return false;
    if (!request->no_completion)
        end_early(session, request, OCHE_ERR_CLOSED, ECANCELED);
    request->opcode = request->opcode == FRAME_LISTEN ? FRAME_LISTENER_CLOSE : FRAME_CLOSE;
    request->wire = wire;
    pending_drop_body(request);
    pending_owe(&session->pending, request);
    request_send(session, request, NULL, 0);
    return true;
}

/* The ACCEPT that has waited longest of those that the daemon has for the same listener; NULL: none waits. */
static struct pending_request *find_heir(const struct oche_session *session, const struct pending_request *request)
{
    struct pending_request *heir = NULL;
    struct pending_request *other = NULL;
    while ((other = pending_next(&session->pending, other))) {
        bool waits = other->opcode == FRAME_ACCEPT && other->handle == request->handle && other->wire != 0 &&
                     !other->no_completion && !other->cancelled;
        if (waits && (!heir || other->serial < heir->serial))
            heir = other;
    }
    return heir;
}

void request_pass_on(struct oche_session *session, struct pending_request *request)
{
    struct pending_request *heir = find_heir(session, request);
    if (!heir)
        return;
    request->request_id = heir->request_id;
    request->limit_at = heir->limit_at;
    request->no_completion = request->cancelled = false;
    heir->limit_at = 0;
    heir->no_completion = true;
    send_cancel(session, heir, LANE_WITH_THE_BATCH);
}

/* ---- completing ---- */

void request_complete(struct oche_session *session, struct pending_request *request, struct oche_completion *completion)
{
    struct waiter *waiter = pending_may_be_awaited(request->opcode) ? request->waiter : NULL;
    session->queued_bytes -= request->charge;
    unlimit(session, request);
    completion->request_id = request->request_id;
    if (waiter)
        waiter_answer(waiter, completion->result, completion->os_error);
    else if (!request->no_completion && !(request->no_ack && completion->result >= 0))
        completions_push(&session->completions, completion);
    else if (completion->data_owner)
        lane_give_back(&session->lane, completion->data_owner); /* nobody wants it */
    pending_remove(&session->pending, request);
}

void request_end_all(struct oche_session *session, int64_t result)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        struct oche_completion completion = {.result = result};
        request_complete(session, request, &completion); /* its slot is free now, but still a place to go on from */
    }
}
