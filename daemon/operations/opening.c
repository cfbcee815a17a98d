#include "daemon/operations/opening.h"

#include "daemon/log/log.h"
#include "daemon/operations/call.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/socket/connection.h"
#include "daemon/socket/datagram.h"
#include "daemon/socket/listener.h"
#include "daemon/socket/policy.h"
#include "daemon/socket/tls_connection.h"
#include "daemon/socket/tls_handle.h"
#include "proto/oche.pb-c.h"

#include <errno.h>

/* The address is not for clients: tells it in the log, and returns the code with which to answer. */
static int deny(struct call *call, const char *operation, const struct address *address, int code)
{
    char text[ADDRESS_TEXT_SIZE];
    log_failure(LOG_WARNING, "session=%llu event=denied operation=%s address=%s",
                (unsigned long long)call->session->number, operation, address_text(address, text));
    call->os_error = EACCES;
    return code;
}

/* ---- connections ---- */

static bool is_source_given(const Oche__Connect *body)
{
    return body->source_address.len > 0 || body->source_port != 0;
}

static int decode_target(struct connection_target *target, const Oche__Connect *body)
{
    target->source.length = 0;
    if (body->port == 0 || body->port > UINT16_MAX || body->source_port > UINT16_MAX)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (!address_from_wire(&target->remote, body->address.data, body->address.len, body->scope_id, body->port))
        return OCHE_ERR_INVALID_ADDRESS;
    if (!is_source_given(body))
        return 0;
    if (body->source_address.len == 0) {
        address_any(&target->source, &target->remote, (uint16_t)body->source_port);
        return 0;
    }
    if (body->source_address.len != body->address.len ||
        !address_from_wire(&target->source, body->source_address.data, body->source_address.len, body->source_scope_id,
                           body->source_port))
        return OCHE_ERR_INVALID_ADDRESS;
    return 0;
}

static int connect_with_tls(struct call *call, const struct connection_target *target, const Oche__TlsClient *body)
{
    const struct tls_expectation expected = {
        .context = tls_handle_find(call->session, body->context),
        .server_name = body->server_name,
        .asks = body->asks,
    };
    if (!expected.context)
        return OCHE_ERR_INVALID_HANDLE;
    if (!*expected.server_name)
        return OCHE_ERR_INVALID_ARGUMENT;
    return tls_connection_connect(&call->request, target, &expected, &call->os_error);
}

/* 0, or the code with which the policy denies it. */
static int check_target(struct call *call, const struct connection_target *target)
{
    const struct policy *policy = call->session->host->daemon->policy;
    if (!policy_allows(&policy->connect, &target->remote))
        return deny(call, "connect", &target->remote, OCHE_ERR_CONNECT_FAILED);
    if (target->source.length > 0 && !policy_allows(&policy->listen, &target->source))
        return deny(call, "bind", &target->source, OCHE_ERR_BIND_FAILED);
    return 0;
}

int opening_connect(struct call *call)
{
    struct lane_message *message = call->message;
    struct connection_target target = {0};
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Connect *body = oche__connect__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    int code = decode_target(&target, body);
    if (code == 0)
        code = check_target(call, &target);
    if (code == 0 && body->tls)
        code = connect_with_tls(call, &target, body->tls);
    else if (code == 0)
        code = connection_connect(&call->request, &target, &call->os_error);
    oche__connect__free_unpacked(body, &memory.allocator);
    return code;
}

/* ---- listeners ---- */

int opening_listen(struct call *call)
{
    struct lane_message *message = call->message;
    struct listener_target target;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Listen *body = oche__listen__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    int code = 0;
    if (body->port > UINT16_MAX)
        code = OCHE_ERR_INVALID_ARGUMENT;
    else if (!address_from_wire(&target.local, body->address.data, body->address.len, body->scope_id, body->port))
        code = OCHE_ERR_INVALID_ADDRESS;
    target.v6_only = body->v6_only;
    target.shared = body->shared;
    target.backlog = body->backlog;
    target.tls = body->tls_context ? tls_handle_find(call->session, body->tls_context) : NULL;
    if (code == 0 && body->tls_context && !target.tls)
        code = OCHE_ERR_INVALID_HANDLE;
    oche__listen__free_unpacked(body, &memory.allocator);
    if (code == 0 &&
        !policy_allows_listener(&call->session->host->daemon->policy->listen, &target.local, target.v6_only))
        code = deny(call, "listen", &target.local, OCHE_ERR_BIND_FAILED);
    if (code)
        return code;
    return listener_listen(&call->request, &target, &call->os_error);
}

/* ---- datagram sockets ---- */

/* 0, or the code with which to refuse it. */
static int decode_datagram(struct datagram_target *target, const Oche__Datagram *body)
{
    *target = (struct datagram_target){.v6_only = body->v6_only};
    if (body->port > UINT16_MAX || body->peer_port > UINT16_MAX)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (!address_from_wire(&target->local, body->address.data, body->address.len, body->scope_id, body->port))
        return OCHE_ERR_INVALID_ADDRESS;
    if (body->peer_address.len == 0)
        return 0;
    if (body->peer_port == 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (body->peer_address.len != body->address.len ||
        !address_from_wire(&target->peer, body->peer_address.data, body->peer_address.len, body->peer_scope_id,
                           body->peer_port))
        return OCHE_ERR_INVALID_ADDRESS;
    return 0;
}

/* A socket that has a peer is like a connection: where it receives matters only if the client says where. One that has
 * none hears everybody, like a listener. */
static int check_datagram(struct call *call, const struct datagram_target *target)
{
    const struct policy *policy = call->session->host->daemon->policy;
    if (target->peer.length > 0 && !policy_allows(&policy->connect, &target->peer))
        return deny(call, "connect", &target->peer, OCHE_ERR_CONNECT_FAILED);
    if (target->peer.length > 0 && address_is_any(&target->local))
        return 0;
    if (!policy_allows_listener(&policy->listen, &target->local, target->v6_only))
        return deny(call, "bind", &target->local, OCHE_ERR_BIND_FAILED);
    return 0;
}

int opening_datagram(struct call *call)
{
    struct lane_message *message = call->message;
    struct datagram_target target;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Datagram *body = oche__datagram__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    int code = decode_datagram(&target, body);
    oche__datagram__free_unpacked(body, &memory.allocator);
    if (code == 0)
        code = check_datagram(call, &target);
    if (code)
        return code;
    return datagram_open(&call->request, &target, &call->os_error);
}
