#include "daemon/operations/operations.h"

#include "daemon/handover/handover_key.h"
#include "daemon/operations/call.h"
#include "daemon/operations/hello.h"
#include "daemon/operations/opening.h"
#include "daemon/operations/statistics_reply.h"
#include "daemon/operations/tls_settings.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/request.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/socket/socket_option.h"
#include "daemon/socket/tls_connection.h"
#include "proto/errors.h"
#include "proto/handover.h"
#include "proto/oche.pb-c.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum shape {
    HAS_BODY = 1 << 0,
    HAS_PAYLOAD = 1 << 1, /* may be empty */
    NEEDS_SOCKET = 1 << 2,
    BEGINS = 1 << 3,    /* makes something new: refused while the daemon leaves */
    IS_NOTICE = 1 << 4, /* never answered: what it is about may be gone already */
};

struct operation {
    unsigned shape;
    int (*handle)(struct call *call);
};

/* ---- the session ---- */

static int handle_hello(struct call *call)
{
    return hello_take(call->session, &call->message->frame, call->message->body) ? 0 : CALL_MALFORMED;
}

/* Any process of the user can connect, but only a successor that the daemon or its operator has started has the key. */
static const char *find_objection(const struct session *session, const struct lane_message *message)
{
    const struct handover_key *key = session->host->daemon->key;
    if (session->refusal && session->refusal_code == OCHE_ERR_DAEMON_UNAVAILABLE)
        return session->refusal;
    if (message->frame.payload_length == 0 || !handover_key_opens(key, message->payload.data))
        return "it asks for a handover, and does not have the key";
    return NULL;
}

/* Who asks is no client: the connection is the server's from now on. */
static int handle_handover(struct call *call)
{
    struct session *session = call->session;
    struct daemon_state *daemon = session->host->daemon;
    const struct frame *frame = &call->message->frame;
    if (frame->value != HANDOVER_ASK || (frame->payload_length != 0 && frame->payload_length != HANDOVER_KEY_SIZE))
        return CALL_MALFORMED;
    const char *objection = find_objection(session, call->message);
    if (objection) {
        request_complete(&call->request, HANDOVER_KEPT, EACCES);
        session_end_refused(session, objection);
        return 0;
    }
    int fd = engine_socket_duplicate(session->lane.plain.socket);
    session_end(session, "it is a successor", fd < 0 ? -fd : 0);
    if (fd >= 0)
        daemon->ask(daemon->context, fd);
    return 0;
}

static int handle_statistics(struct call *call)
{
    statistics_reply(call->session, &call->message->frame);
    return 0;
}

/* The client wonders whether this worker still turns. */
static int handle_ping(struct call *call)
{
    request_complete(&call->request, 0, 0);
    return 0;
}

/* ---- sockets ---- */

static int handle_cancel(struct call *call)
{
    struct request *held = request_find(call->session, call->message->frame.value);
    if (held)
        held->cancel(held);
    return 0;
}

static int handle_accept(struct call *call)
{
    return call->socket->kind->accept(call->socket, &call->request);
}

static int handle_read(struct call *call)
{
    return call->socket->kind->grant(call->socket, call->message->frame.value) ? 0 : CALL_MALFORMED;
}

static int handle_release(struct call *call)
{
    const struct frame *frame = &call->message->frame;
    return lane_release(&call->session->lane, frame->payload_offset, frame->payload_length) ? 0 : CALL_MALFORMED;
}

static int handle_write(struct call *call)
{
    const struct frame *frame = &call->message->frame;
    struct payload *payload = &call->message->payload;
    int64_t before = call->session->long_write.open ? call->session->long_write.total : 0;
    int code = call->socket->kind->write(call->socket, &call->request, payload, before + frame->payload_length,
                                         &call->os_error);
    if (code == 0)
        *payload = (struct payload){0};
    return code;
}

static int handle_pause(struct call *call)
{
    return call->socket->kind->pause(call->socket, &call->request);
}

static int handle_trust(struct call *call)
{
    return tls_connection_trust(call->socket, &call->request);
}

static int handle_tls_info(struct call *call)
{
    return tls_connection_info(call->socket, &call->request, call->message->frame.value);
}

static int handle_close_write(struct call *call)
{
    return call->socket->kind->shut_down(call->socket, &call->request, &call->os_error);
}

static int handle_close(struct call *call)
{
    call->socket->kind->close(call->socket, &call->request);
    return 0;
}

static int handle_abort(struct call *call)
{
    call->socket->kind->abort(call->socket);
    request_complete(&call->request, 0, 0);
    return 0;
}

/* Value 1: the connections that it has accepted are closed, too. */
static int handle_listener_close(struct call *call)
{
    const struct frame *frame = &call->message->frame;
    if (frame->value != 0 && frame->value != 1)
        return CALL_MALFORMED;
    if (frame->value == 1)
        connection_close_accepted(call->session, frame->handle);
    if (call->session->state != SESSION_ENDED)
        call->socket->kind->close(call->socket, &call->request);
    return 0;
}

/* 0 or a negative errno. */
static int set_option(const struct engine_socket *socket, const Oche__Option *body)
{
    int value = body->value != 0;
    if (body->raw)
        return socket_option_set(socket, (int)body->raw->level, (int)body->raw->name, body->raw->value.data,
                                 (socklen_t)body->raw->value.len);
    switch (body->name) {
    case OCHE__OPTION__NAME__KEEP_ALIVE:
        return socket_option_set(socket, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value);
    case OCHE__OPTION__NAME__NO_DELAY:
        return socket_option_set(socket, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
    default:
        return -ENOPROTOOPT;
    }
}

static int handle_set_option(struct call *call)
{
    struct lane_message *message = call->message;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Option *body = oche__option__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    int r = set_option(call->socket->engine_socket, body);
    oche__option__free_unpacked(body, &memory.allocator);
    if (r < 0) {
        call->os_error = -r;
        return OCHE_ERR_SOCKET_OPTION;
    }
    request_complete(&call->request, 0, 0);
    return 0;
}

static int handle_get_option(struct call *call)
{
    struct lane_message *message = call->message;
    uint8_t value[SOCKET_OPTION_SIZE_MAX];
    socklen_t size = sizeof value;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__RawOption *body = oche__raw_option__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return call_unpack_fault(&memory);
    if (body->size < size)
        size = body->size;
    int r = socket_option_get(call->socket->engine_socket, (int)body->level, (int)body->name, value, &size);
    oche__raw_option__free_unpacked(body, &memory.allocator);
    if (r < 0) {
        call->os_error = -r;
        return OCHE_ERR_SOCKET_OPTION;
    }
    Oche__RawOption answer = OCHE__RAW_OPTION__INIT;
    answer.value = (ProtobufCBinaryData){.data = value, .len = size};
    session_reply_message(call->session, &message->frame, size, &answer.base);
    return 0;
}

/* ---- the gate ---- */

static const struct operation operations[FRAME_OPCODE_END] = {
    [FRAME_HELLO] = {HAS_BODY, handle_hello},
    [FRAME_CONNECT] = {HAS_BODY | BEGINS, opening_connect},
    [FRAME_LISTEN] = {HAS_BODY | BEGINS, opening_listen},
    [FRAME_DATAGRAM] = {HAS_BODY | BEGINS, opening_datagram},
    [FRAME_TLS_CONTEXT] = {HAS_PAYLOAD | BEGINS, tls_settings_context},
    [FRAME_ACCEPT] = {NEEDS_SOCKET | BEGINS, handle_accept},
    [FRAME_READ] = {NEEDS_SOCKET | IS_NOTICE, handle_read},
    [FRAME_WRITE] = {NEEDS_SOCKET | HAS_PAYLOAD, handle_write},
    [FRAME_PAUSE] = {NEEDS_SOCKET, handle_pause},
    [FRAME_SECURE] = {NEEDS_SOCKET | HAS_BODY | HAS_PAYLOAD, tls_settings_secure},
    [FRAME_TRUST] = {NEEDS_SOCKET, handle_trust},
    [FRAME_TLS_INFO] = {NEEDS_SOCKET, handle_tls_info},
    [FRAME_TLS_REPLACE] = {NEEDS_SOCKET | HAS_PAYLOAD, tls_settings_context},
    [FRAME_CLOSE_WRITE] = {NEEDS_SOCKET, handle_close_write},
    [FRAME_CLOSE] = {NEEDS_SOCKET, handle_close},
    [FRAME_LISTENER_CLOSE] = {NEEDS_SOCKET, handle_listener_close},
    [FRAME_SET_OPTION] = {NEEDS_SOCKET | HAS_BODY, handle_set_option},
    [FRAME_STATISTICS] = {0, handle_statistics},
    [FRAME_RELEASE] = {HAS_PAYLOAD | IS_NOTICE, handle_release},
    [FRAME_CANCEL] = {IS_NOTICE, handle_cancel},
    [FRAME_HANDOVER] = {HAS_PAYLOAD, handle_handover},
    [FRAME_ABORT] = {NEEDS_SOCKET, handle_abort},
    [FRAME_PING] = {0, handle_ping},
    [FRAME_GET_OPTION] = {NEEDS_SOCKET | HAS_BODY, handle_get_option},
};

/* What is wrong with a frame that no correct client sends here and now, or NULL. */
static const char *find_fault(const struct session *session, const struct frame *frame)
{
    const struct operation *operation = &operations[frame->opcode];
    bool greets = frame->opcode == FRAME_HELLO || frame->opcode == FRAME_HANDOVER;
    if (frame->flags & FRAME_REPLY)
        return "a reply, from a client";
    if (session->state == SESSION_GREETING && !greets)
        return "the first frame must be HELLO";
    if (session->state != SESSION_GREETING && greets)
        return "a greeting comes once";
    if (frame->body_length && !(operation->shape & HAS_BODY))
        return "a body, which this opcode does not have";
    if (frame->payload_length && !(operation->shape & HAS_PAYLOAD))
        return "a payload, which this opcode does not have";
    if (frame->payload_offset && !(frame->flags & FRAME_IN_ARENA))
        return "a payload offset, and no payload in an arena";
    if (frame->opcode == FRAME_RELEASE && !(frame->flags & FRAME_IN_ARENA))
        return "a release of something outside of the arena";
    if (frame->handle && !(operation->shape & NEEDS_SOCKET))
        return "a handle, which this opcode does not have";
    if ((frame->flags & FRAME_MORE) && !frame->payload_length)
        return "an empty part of a long write";
    if (session->long_write.open && !(operation->shape & IS_NOTICE) &&
        (frame->opcode != FRAME_WRITE || frame->request_id != session->long_write.request_id ||
         frame->handle != session->long_write.handle))
        return "another frame inside a long write";
    return NULL;
}

/* False: there is no such socket, or its kind has no such operation. */
static bool find_socket(struct call *call, unsigned shape)
{
    const struct frame *frame = &call->message->frame;
    if (!(shape & NEEDS_SOCKET))
        return true;
    call->socket = socket_table_find(&call->session->sockets, frame->handle);
    return call->socket && call->socket->open && call->socket->kind->operations & 1u << frame->opcode;
}

/* Keeps track of a write in several frames: it is answered once, with its last frame, and as its first refusal says.
 * Returns true if `code` is to be answered now. */
static bool settle_long_write(struct session *session, const struct frame *frame, int *code, int *os_error)
{
    bool more = frame->flags & FRAME_MORE;
    if (session->long_write.open && session->long_write.refused) {
        *code = session->long_write.code;
        *os_error = session->long_write.os_error;
    }
    if (!session->long_write.open)
        session->long_write.total = 0;
    session->long_write.total += frame->payload_length;
    session->long_write.open = more;
    session->long_write.refused = more && *code < 0;
    session->long_write.code = (int16_t)*code;
    session->long_write.os_error = (uint16_t)*os_error;
    session->long_write.request_id = frame->request_id;
    session->long_write.handle = frame->handle;
    return *code < 0 && !more;
}

static int pass(struct call *call)
{
    const struct frame *frame = &call->message->frame;
    const struct operation *operation = &operations[frame->opcode];
    const struct session *session = call->session;
    if (session->long_write.open && session->long_write.refused && !(operation->shape & IS_NOTICE))
        return session->long_write.code;
    if (!find_socket(call, operation->shape))
        return OCHE_ERR_INVALID_HANDLE;
    if (session->state != SESSION_GREETING && session->state != SESSION_OPEN && (operation->shape & BEGINS))
        return OCHE_ERR_DAEMON_LOST;
    if (session->host->phase == HANDOVER_OFFERED && frame->opcode == FRAME_LISTEN)
        return OCHE_ERR_DAEMON_LOST; /* the successor would not get it */
    return operation->handle(call);
}

void operations_handle(struct session *session, struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    const char *fault = find_fault(session, frame);
    int code = 0;
    struct call call = {.session = session, .message = message};
    request_init(&call.request, session, frame);
    if (!fault) {
        code = pass(&call);
        if (code == CALL_MALFORMED)
            fault = "a body that cannot be decoded";
    }
    lane_free_payload(&session->lane, &message->payload);
    if (fault) {
        session_end_malformed(session, frame, fault);
        return;
    }
    bool answer = code < 0 && !(operations[frame->opcode].shape & IS_NOTICE);
    if (frame->opcode == FRAME_WRITE)
        answer = settle_long_write(session, frame, &code, &call.os_error);
    if (answer)
        request_complete(&call.request, code, call.os_error);
}
