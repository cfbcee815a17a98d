/*
 * Each operation goes through the same steps: is the session in a state that takes it; are the arguments possible; does
 * the handle name an open socket of the right kind; is there room (request_begin). Only then anything changes: the
 * books are brought up to date and the frame is sent. So an operation that returns an error has done nothing.
 *
 * A session that is lost refuses what needs a daemon, but for two cases: with a bell (session.h), requests that make a
 * socket wait for the next daemon, and durable listeners take accepts and closes at any time.
 */
#include "client/session/operations.h"

#include "client/session/following.h"
#include "client/session/public_handle.h"
#include "client/session/public_struct.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/endpoints.h"
#include "proto/errors.h"
#include "proto/handle.h"
#include "proto/oche.pb-c.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_MAX = 128,       /* bytes of the largest body that is made here */
    DATAGRAM_MAX = 65535, /* bytes; udp(7) knows none that is longer */
};

/* 0 if the session takes requests. */
static int64_t check_open(const struct oche_session *session)
{
    switch (session->state) {
    case SESSION_OPEN:
    case SESSION_FOLLOWING:
        return 0;
    case SESSION_LOST:
    case SESSION_AWAITED:
        return OCHE_ERR_DAEMON_LOST;
    case SESSION_CLOSED:
        break;
    }
    return OCHE_ERR_NOT_INITIALIZED;
}

/* 0 if the session takes requests that make a new socket: they may wait for a daemon. */
static int64_t check_open_or_awaited(const struct oche_session *session)
{
    bool waits = session->state == SESSION_LOST || session->state == SESSION_AWAITED;
    return waits && session->bell_fd >= 0 ? 0 : check_open(session);
}

static struct handle_entry *find_connection(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_CONNECTION ? entry : NULL;
}

/* A connection or a datagram socket. */
static struct handle_entry *find_readable(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind != HANDLE_LISTENER ? entry : NULL;
}

static struct handle_entry *find_listener(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_LISTENER ? entry : NULL;
}

/* 0 and *entry, if the listener takes requests: a durable one does also while its daemon is lost. */
static int64_t find_open_listener(const struct oche_session *session, int64_t handle, struct handle_entry **entry)
{
    *entry = find_listener(session, handle);
    bool waits = session->state == SESSION_LOST || session->state == SESSION_AWAITED;
    int64_t status = *entry && waits ? 0 : check_open(session); /* nothing but durable listeners is left then */
    if (status < 0)
        return status;
    return *entry ? 0 : OCHE_ERR_INVALID_HANDLE;
}

/* The body of a request, whose length is returned. */
static size_t pack(const ProtobufCMessage *message, uint8_t body[BODY_MAX])
{
    size_t length = protobuf_c_message_get_packed_size(message);
    assert(length <= BODY_MAX);
    return protobuf_c_message_pack(message, body);
}

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

/* A request that makes a socket. A successor of the daemon may have to be asked again. `limit_ms`: 0 is none. */
static int64_t make_repeatable(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                               const ProtobufCMessage *message, uint32_t limit_ms, bool durable)
{
    uint8_t body[BODY_MAX];
    size_t length = pack(message, body);
    struct pending_request *request = request_begin_repeatable(session, opcode, request_id, body, length);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request_limit(session, request, limit_ms);
    request->durable = durable;
    request_send(session, request, body, length);
    return 0;
}

/* protobuf-c does not write through the pointer; its type cannot say so. */
static ProtobufCBinaryData binary(const uint8_t *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

static int64_t check_address(const uint8_t *address, size_t length)
{
    if (length != 4 && length != 16)
        return OCHE_ERR_INVALID_ADDRESS;
    return address ? 0 : OCHE_ERR_INVALID_ARGUMENT;
}

int64_t operation_connect(struct oche_session *session, int64_t request_id, const struct oche_connect_options *options)
{
    int64_t status = check_open_or_awaited(session);
    if (status < 0)
        return status;
    status = check_address(options->address, options->address_length);
    if (status < 0)
        return status;
    if (options->source_address_length != 0) {
        if (options->source_address_length != options->address_length)
            return OCHE_ERR_INVALID_ADDRESS;
        if (!options->source_address)
            return OCHE_ERR_INVALID_ARGUMENT;
    }
    if (options->port == 0)
        return OCHE_ERR_INVALID_ARGUMENT;

    Oche__Connect message;
    oche__connect__init(&message);
    message.address = binary(options->address, options->address_length);
    message.port = options->port;
    message.source_address = binary(options->source_address, options->source_address_length);
    message.source_port = options->source_port;
    message.scope_id = options->scope_id;
    message.source_scope_id = options->source_scope_id;
    return make_repeatable(session, FRAME_CONNECT, request_id, &message.base, options->timeout_ms, false);
}

/* Whether the request is one of the application's that will complete, and has that id. */
static bool is_called(const struct pending_request *request, int64_t request_id)
{
    bool may_wait = request->opcode == FRAME_SET_OPTION || request->opcode == FRAME_GET_OPTION;
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
    int64_t status = check_open_or_awaited(session);
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

int64_t operation_listen(struct oche_session *session, int64_t request_id, const struct oche_listen_options *options)
{
    int64_t status = check_open_or_awaited(session);
    if (status < 0)
        return status;
    status = check_address(options->address, options->address_length);
    if (status < 0)
        return status;

    Oche__Listen message;
    oche__listen__init(&message);
    message.address = binary(options->address, options->address_length);
    message.port = options->port;
    message.v6_only = options->v6_only;
    message.backlog = options->backlog;
    message.shared = options->shared;
    message.scope_id = options->scope_id;
    return make_repeatable(session, FRAME_LISTEN, request_id, &message.base, 0, options->durable);
}

int64_t operation_datagram(struct oche_session *session, int64_t request_id,
                           const struct oche_datagram_options *options)
{
    int64_t status = check_open_or_awaited(session);
    if (status < 0)
        return status;
    status = check_address(options->address, options->address_length);
    if (status < 0)
        return status;
    if (options->peer_address_length != 0) {
        if (options->peer_address_length != options->address_length)
            return OCHE_ERR_INVALID_ADDRESS;
        if (!options->peer_address || options->peer_port == 0)
            return OCHE_ERR_INVALID_ARGUMENT;
    }

    Oche__Datagram message;
    oche__datagram__init(&message);
    message.address = binary(options->address, options->address_length);
    message.port = options->port;
    message.scope_id = options->scope_id;
    message.v6_only = options->v6_only;
    message.peer_address = binary(options->peer_address, options->peer_address_length);
    message.peer_port = options->peer_port;
    message.peer_scope_id = options->peer_scope_id;
    return make_repeatable(session, FRAME_DATAGRAM, request_id, &message.base, 0, false);
}

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

int64_t operation_accept(struct oche_session *session, int64_t request_id, int64_t listener)
{
    struct handle_entry *entry;
    int64_t handle;
    int64_t status = find_open_listener(session, listener, &entry);
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
    int64_t status = check_open(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = find_readable(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    struct reading *reading = &entry->reading;
    if (reading->request)
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
    int64_t status = check_open(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = find_connection(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    if (!data && count > 0)
        return OCHE_ERR_INVALID_ARGUMENT;

    struct pending_request *request = begin_write(session, request_id, handle, count);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request->argument = (int64_t)count;
    request->no_ack = session->quiet_writes && request_id <= 0;
    entry->has_written = true;
    entry->last_write = request_id < 0 ? request_id : -request_id;
    request_send_payload(session, request, data, count);
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
        request_send_payload(session, request, payload, ENDPOINT_SIZE + count);
    }
    free(payload);
    return request ? 0 : OCHE_ERR_OUT_OF_MEMORY;
}

int64_t operation_send(struct oche_session *session, int64_t request_id, int64_t handle, const struct endpoint *to,
                       const void *data, size_t count)
{
    int64_t status = check_open(session);
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
    int64_t status = check_open(session);
    if (status < 0)
        return status;
    if (!find_connection(session, handle))
        return OCHE_ERR_INVALID_HANDLE;
    struct pending_request *request = request_begin(session, FRAME_CLOSE_WRITE, request_id, handle, 0, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request->charge = FRAME_WRITE_OVERHEAD;
    session->queued_bytes += request->charge;
    request_send(session, request, NULL, 0);
    return 0;
}

/* The socket is closed from now on: a read that is pending on it ends with the answer to `close`, and what came
 * ahead is not wanted any more. */
static void forget_readable(struct oche_session *session, struct handle_entry *entry, struct pending_request *close)
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
    int64_t status = check_open(session);
    if (status < 0)
        return status;
    struct handle_entry *entry = find_readable(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    struct pending_request *request;
    status = make(session, opcode, request_id, handle, &request);
    if (status == 0) /* after the frame was sent, for what is given back may take the room reserved for it */
        forget_readable(session, entry, request);
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

static void forget_accepted(struct oche_session *session, int64_t listener, struct pending_request *close)
{
    size_t position = 0;
    struct handle_entry *entry;
    while ((entry = handles_next_accepted(&session->handles, public_to_wire(listener), &position)))
        forget_readable(session, entry, close);
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

int64_t operation_listener_close(struct oche_session *session, int64_t request_id, int64_t listener, bool force)
{
    struct handle_entry *entry;
    int64_t status = find_open_listener(session, listener, &entry);
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
    request_send(session, request, NULL, 0); /* first, as in close_with() */
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

int64_t operation_on_connection(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                int64_t handle, const ProtobufCMessage *message, struct pending_request **request)
{
    uint8_t body[BODY_MAX];
    int64_t status = check_open(session);
    if (status < 0)
        return status;
    if (!find_readable(session, handle))
        return OCHE_ERR_INVALID_HANDLE;
    size_t length = pack(message, body);
    *request = request_begin(session, opcode, request_id, handle, length, 0);
    if (!*request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request_send(session, *request, body, length);
    return 0;
}

int64_t operation_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics)
{
    int64_t status = check_open(session);
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
