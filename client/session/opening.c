#include "client/session/opening.h"

#include "client/session/admission.h"
#include "client/session/body.h"
#include "client/session/public_handle.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "proto/errors.h"
#include "proto/oche.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 255 /* bytes of a name, RFC 1035 */ };

/* A request that makes a socket. A successor of the daemon may have to be asked again. `limit_ms`: 0 is none. */
static int64_t make_repeatable(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                               const ProtobufCMessage *message, uint32_t limit_ms, bool durable)
{
    uint8_t body[BODY_MAX];
    size_t length = body_pack(message, body);
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

/* What names a handle is not repeated: another daemon does not have it. */
static int64_t make_once(struct oche_session *session, uint8_t type, int64_t request_id, ProtobufCMessage *message,
                         int64_t limit_ms)
{
    uint8_t body[BODY_MAX];
    size_t length = body_pack(message, body);
    struct pending_request *request = request_begin(session, type, request_id, 0, length, 0);
    if (!request)
        return OCHE_ERR_OUT_OF_MEMORY;
    request_limit(session, request, limit_ms);
    request->is_bound = true;
    request_send(session, request, body, length);
    return 0;
}

static bool is_tls_context(const struct oche_session *session, int64_t handle)
{
    const struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_TLS_CONTEXT;
}

static int64_t connect_with_tls(struct oche_session *session, int64_t request_id, Oche__Connect *message,
                                const struct oche_connect_options *options)
{
    Oche__TlsClient tls = OCHE__TLS_CLIENT__INIT;
    if (!is_tls_context(session, options->tls_context))
        return OCHE_ERR_INVALID_HANDLE;
    if (!options->server_name || !*options->server_name || strlen(options->server_name) > NAME_MAX_LENGTH)
        return OCHE_ERR_INVALID_ARGUMENT;
    tls.context = public_to_wire(options->tls_context);
    tls.server_name = (char *)(uintptr_t)options->server_name; /* which is only read */
    tls.asks = options->tls_asks;
    message->tls = &tls;
    int64_t status = make_once(session, FRAME_CONNECT, request_id, &message->base, options->timeout_ms);
    message->tls = NULL;
    return status;
}

/* The address of an end that need not be given: then its length is 0. Else both ends are of one family. */
static int64_t check_other_address(const uint8_t *other, size_t other_length, size_t length)
{
    if (other_length == 0)
        return 0;
    if (other_length != length)
        return OCHE_ERR_INVALID_ADDRESS;
    return other ? 0 : OCHE_ERR_INVALID_ARGUMENT;
}

int64_t opening_connect(struct oche_session *session, int64_t request_id, const struct oche_connect_options *options)
{
    int64_t status = admission_check_or_wait(session);
    if (status < 0)
        return status;
    status = check_address(options->address, options->address_length);
    if (status < 0)
        return status;
    status = check_other_address(options->source_address, options->source_address_length, options->address_length);
    if (status < 0)
        return status;
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
    if (options->tls_context != 0)
        return connect_with_tls(session, request_id, &message, options);
    return make_repeatable(session, FRAME_CONNECT, request_id, &message.base, options->timeout_ms, false);
}

int64_t opening_listen(struct oche_session *session, int64_t request_id, const struct oche_listen_options *options)
{
    int64_t status = admission_check_or_wait(session);
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
    if (options->tls_context != 0) {
        if (!is_tls_context(session, options->tls_context))
            return OCHE_ERR_INVALID_HANDLE;
        if (options->durable)
            return OCHE_ERR_INVALID_ARGUMENT;
        message.tls_context = public_to_wire(options->tls_context);
        return make_once(session, FRAME_LISTEN, request_id, &message.base, 0);
    }
    return make_repeatable(session, FRAME_LISTEN, request_id, &message.base, 0, options->durable);
}

int64_t opening_datagram(struct oche_session *session, int64_t request_id, const struct oche_datagram_options *options)
{
    int64_t status = admission_check_or_wait(session);
    if (status < 0)
        return status;
    status = check_address(options->address, options->address_length);
    if (status < 0)
        return status;
    status = check_other_address(options->peer_address, options->peer_address_length, options->address_length);
    if (status < 0)
        return status;
    if (options->peer_address_length != 0 && options->peer_port == 0)
        return OCHE_ERR_INVALID_ARGUMENT;

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
