/*
 * Each operation goes through the same steps: is the session in a state that takes it; are the arguments possible; does
 * the handle name an open socket of the right kind; is there room (request_begin). Only then anything changes: the
 * books are brought up to date and the frame is sent. So an operation that returns an error has done nothing.
 */
#include "client/session/operations.h"

#include "client/session/admission.h"
#include "client/session/body.h"
#include "client/session/public_handle.h"
#include "client/session/public_struct.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DATAGRAM_MAX = 65535 /* bytes; udp(7) knows none that is longer */ };

/* A request without a body. */
static int64_t make(struct oche_session *session, enum frame_opcode opcode, int64_t request_id, int64_t handle,
                    struct pending_request **request)
{
    *request = request_begin(session, opcode, request_id, handle, 0, 0);
    if (!*request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request_send(session, *request, NULL, 0);
    return 0;
}

/* Whether the request is one of the application's that will complete, and has that id. */
static bool is_called(const struct pending_request *request, int64_t request_id)
{
    bool may_wait = pending_may_be_awaited(request->opcode);
    return request->request_id == request_id && !request->no_completion && !(may_wait && request->waiter);
}

/* The request with that id that was made last; NULL: none is pending. Most are looked for when they are just made. */
static struct pending_request *find_called(const struct oche_session *session, int64_t request_id)
{
    struct pending_request *found = pending_newest(&session->pending);
    struct pending_request *request = NULL;
    if (found && is_called(found, request_id))
        return found;
    found = NULL;
    while ((request = pending_next(&session->pending, request))) {
        if (is_called(request, request_id) && (!found || request->serial > found->serial))
            found = request;
    }
    return found;
}

/* Why no request with some id is pending. */
static int64_t not_pending(const struct oche_session *session)
{
    int64_t status = admission_check_or_wait(session);
    return status < 0 ? status : OCHE_ERR_INVALID_ARGUMENT;
}

int64_t operation_cancel(struct oche_session *session, int64_t request_id)
{
    struct pending_request *request = find_called(session, request_id);
    return request ? request_cancel(session, request) : not_pending(session);
}

int64_t operation_limit(struct oche_session *session, int64_t request_id, uint32_t milliseconds)
{
    struct pending_request *request = find_called(session, request_id);
    if (!request)
        return not_pending(session);
    request_limit(session, request, milliseconds);
    return 0;
}

void operation_grant(struct oche_session *session, int64_t handle, struct reading *reading)
{
    struct frame frame = {
        .opcode = FRAME_READ,
        .handle = public_to_wire(handle),
        .value = reading_due(reading),
    };
    if (frame.value == 0)
        return;
    reading_grant(reading);
    lane_put(&session->lane, &frame, NULL, NULL, 0, request_urgency(session));
}

/* A read that finds data, or the end of the stream, is not even made. */
static int64_t read_at_once(struct oche_session *session, int64_t request_id, int64_t handle, struct reading *reading)
{
    if (lane_reserve(&session->lane, 0, 0) < 0 ||
        !completions_reserve(&session->completions, session->pending.count + 1))
        return OCHE_ERR_OUT_OF_MEMORY;
    struct data *data = data_queue_pop(&reading->ahead);
    struct oche_completion completion = data ? reading_deliver(reading, data) : reading_deliver_end(reading);
    completion.request_id = request_id;
    completions_push(&session->completions, &completion);
    session_rouse(session);
    operation_grant(session, handle, reading);
    return 0;
}

int64_t operation_read(struct oche_session *session, int64_t request_id, int64_t handle)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = admission_find_readable(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    struct reading *reading = &entry->reading;
    if (reading->request || entry->is_securing)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (reading->ahead.first || reading->end)
        return read_at_once(session, request_id, handle, reading);

    struct pending_request *request = request_begin(session, FRAME_READ, request_id, handle, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    reading->request = pending_number(&session->pending, request);
    operation_grant(session, handle, reading);
    return 0;
}

/* A WRITE with so many bytes of payload, for which there is room. NULL: there is none. */
static struct pending_request *begin_write(struct oche_session *session, int64_t request_id, int64_t handle,
                                           size_t count)
{
    uint64_t charge = (uint64_t)count + FRAME_WRITE_OVERHEAD;
    if (count > SIZE_MAX / 2 || session->queued_bytes_max < session->queued_bytes ||
        charge > session->queued_bytes_max - session->queued_bytes)
        return NULL;
    struct pending_request *request = request_begin(session, FRAME_WRITE, request_id, handle, 0, count);
    if (!request)
        return NULL;
    request->charge = charge;
    session->queued_bytes += charge;
    return request;
}

int64_t operation_write(struct oche_session *session, int64_t request_id, int64_t handle, const void *data,
                        size_t count)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = admission_find_connection(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    if ((!data && count > 0) || entry->is_securing)
        return OCHE_ERR_INVALID_ARGUMENT;

    struct pending_request *request = begin_write(session, request_id, handle, count);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request->argument = (int64_t)count;
    request->no_ack = session->quiet_writes && request_id <= 0;
    entry->has_written = true;
    entry->last_write = request_id < 0 ? request_id : -request_id;
    request_send_all(session, request, NULL, 0, data, count);
    return 0;
}

/* The bytes of a datagram, behind where it goes to. */
static int64_t send_datagram(struct oche_session *session, int64_t request_id, int64_t handle,
                             const struct endpoint *to, const void *data, size_t count)
{
    uint8_t *payload = malloc(ENDPOINT_SIZE + count);
    struct pending_request *request = payload ? begin_write(session, request_id, handle, ENDPOINT_SIZE + count) : NULL;
    if (request) {
        endpoint_encode(to, payload);
        if (count > 0)
            memcpy(payload + ENDPOINT_SIZE, data, count);
        request->argument = (int64_t)count;
        request_send_all(session, request, NULL, 0, payload, ENDPOINT_SIZE + count);
    }
    free(payload);
    return request ? 0 : OCHE_ERR_OUT_OF_MEMORY;
}

int64_t operation_send(struct oche_session *session, int64_t request_id, int64_t handle, const struct endpoint *to,
                       const void *data, size_t count)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    const struct handle_entry *entry = session_find(session, handle);
    if (!entry || entry->kind != HANDLE_DATAGRAM)
        return OCHE_ERR_INVALID_HANDLE;
    if ((!data && count > 0) || count > DATAGRAM_MAX)
        return OCHE_ERR_INVALID_ARGUMENT;
    bool has_peer = entry->endpoints.remote.address_length > 0;
    if (to->address_length == 0 && !has_peer)
        return OCHE_ERR_INVALID_ADDRESS;
    if (to->address_length != 0 && (has_peer || to->port == 0))
        return OCHE_ERR_INVALID_ARGUMENT;
    if (to->address_length != 0 && to->address_length != entry->endpoints.local.address_length)
        return OCHE_ERR_INVALID_ADDRESS;
    return send_datagram(session, request_id, handle, to, data, count);
}

int64_t operation_close_write(struct oche_session *session, int64_t request_id, int64_t handle)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    if (!admission_find_connection(session, handle))
        return OCHE_ERR_INVALID_HANDLE;
    struct pending_request *request = request_begin(session, FRAME_CLOSE_WRITE, request_id, handle, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request->charge = FRAME_WRITE_OVERHEAD;
    session->queued_bytes += request->charge;
    request_send(session, request, NULL, 0);
    return 0;
}

void operation_forget(struct oche_session *session, struct handle_entry *entry, struct pending_request *close)
{
    struct reading *reading = &entry->reading;
    struct data *data;
    if (reading->request) {
        struct pending_request *read = pending_numbered(&session->pending, reading->request);
        read->reads = close->reads;
        close->reads = reading->request;
    }
    while ((data = data_queue_pop(&reading->ahead)))
        lane_give_back(&session->lane, data);
    handles_remove(entry);
}

/* CLOSE or ABORT. */
static int64_t close_with(struct oche_session *session, enum frame_opcode opcode, int64_t request_id, int64_t handle)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = admission_find_closable(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    struct pending_request *request;
    status = make(session, opcode, request_id, handle, &request);
    if (status == 0) /* after the frame was sent, for what is given back may take the room reserved for it */
        operation_forget(session, entry, request);
    return status;
}

int64_t operation_close(struct oche_session *session, int64_t request_id, int64_t handle)
{
    return close_with(session, FRAME_CLOSE, request_id, handle);
}

int64_t operation_abort(struct oche_session *session, int64_t request_id, int64_t handle)
{
    return close_with(session, FRAME_ABORT, request_id, handle);
}

int64_t operation_on_connection(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                int64_t handle, const ProtobufCMessage *message, struct pending_request **request)
{
    uint8_t body[BODY_MAX];
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    if (!admission_find_readable(session, handle))
        return OCHE_ERR_INVALID_HANDLE;
    size_t length = body_pack(message, body);
    *request = request_begin(session, opcode, request_id, handle, length, 0);
    if (!*request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request_send(session, *request, body, length);
    return 0;
}

int64_t operation_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics)
{
    int64_t status = admission_check(session);
    if (status < 0)
        return status;
    if (!statistics || statistics->size < PUBLIC_STRUCT_UNTIL(struct oche_statistics, user_connection_rate))
        return OCHE_ERR_INVALID_ARGUMENT;
    struct pending_request *request;
    status = make(session, FRAME_STATISTICS, request_id, 0, &request);
    if (status == 0)
        request->statistics = statistics;
    return status;
}
