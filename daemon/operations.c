#include "daemon/operations.h"

#include "daemon/body.h"
#include "daemon/connection.h"
#include "daemon/greeting.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/policy.h"
#include "daemon/report.h"
#include "daemon/session.h"
#include "daemon/socket_option.h"
#include "daemon/worker.h"
#include "proto/errors.h"
#include "proto/handover.h"
#include "proto/oche.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* What a handler works on. */
struct request {
    struct session *session;
    struct lane_message *message;
    struct connection *connection; /* if the row asks for one, */
    struct listener *listener;     /* or for the other */
    int os_error;                  /* to go with a negative code */
};

/* What a handler returns: 0, the request is or will be answered; a negative code, with which it is to be answered;
 * or this, the frame is none that a correct client sends. */
enum { MALFORMED = 1 };

enum shape {
    HAS_BODY = 1 << 0,
    HAS_PAYLOAD = 1 << 1, /* may be empty */
    NEEDS_CONNECTION = 1 << 2,
    NEEDS_LISTENER = 1 << 3,
    BEGINS = 1 << 4,    /* makes something new: refused while the daemon leaves */
    IS_NOTICE = 1 << 5, /* never answered: what it is about may be gone already */
};

struct operation {
    unsigned shape;
    int (*handle)(struct request *request);
};

/* What a handler returns whose body could not be unpacked. */
static int unpack_fault(const struct body_memory *memory)
{
    return memory->was_short ? OCHE_ERR_OUT_OF_MEMORY : MALFORMED;
}

/* ---- the session ---- */

static int handle_hello(struct request *request)
{
    return greeting_take(request->session, &request->message->frame, request->message->body) ? 0 : MALFORMED;
}

/* Any process of the user can connect, but only a successor that the daemon or its operator has started has the key. */
static const char *find_objection(const struct session *session, const struct lane_message *message)
{
    const struct handover_key *key = &session->worker->shared->key;
    if (session->refusal && session->refusal_code == OCHE_ERR_DAEMON_UNAVAILABLE)
        return session->refusal;
    if (message->frame.payload_length == 0 || !handover_key_opens(key, message->payload.data))
        return "it asks for a handover, and does not have the key";
    return NULL;
}

/* Who asks is no client: the connection is the server's from now on. */
static int handle_handover(struct request *request)
{
    struct session *session = request->session;
    struct shared *shared = session->worker->shared;
    const struct frame *frame = &request->message->frame;
    if (frame->value != HANDOVER_ASK || (frame->payload_length != 0 && frame->payload_length != HANDOVER_KEY_SIZE))
        return MALFORMED;
    const char *objection = find_objection(session, request->message);
    if (objection) {
        session_reply(session, FRAME_HANDOVER, 0, HANDOVER_KEPT, EACCES);
        session_end_refused(session, objection);
        return 0;
    }
    int fd = fcntl(engine_socket_fd(session->lane.plain.socket), F_DUPFD_CLOEXEC, 0);
    session_end(session, "it is a successor", fd < 0 ? errno : 0);
    if (fd >= 0)
        shared->ask(shared->context, fd);
    return 0;
}

static int handle_statistics(struct request *request)
{
    report_statistics(request->session, &request->message->frame);
    return 0;
}

/* The client wonders whether this worker still turns. */
static int handle_ping(struct request *request)
{
    session_reply(request->session, FRAME_PING, request->message->frame.request_id, 0, 0);
    return 0;
}

/* ---- sockets ---- */

static bool is_source_given(const Oche__Connect *body)
{
    return body->source_address.len > 0 || body->source_port != 0;
}

static int decode_target(struct connection_target *target, const Oche__Connect *body)
{
    target->timeout_ms = body->timeout_ms;
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

static int deny(struct request *request, const char *operation, const struct address *address, int code)
{
    char text[ADDRESS_TEXT_SIZE];
    log_failure(LOG_WARNING, "session=%llu event=denied operation=%s address=%s",
                (unsigned long long)request->session->number, operation, address_text(address, text));
    request->os_error = EACCES;
    return code;
}

/* 0, or the code with which the policy denies it. */
static int check_target(struct request *request, const struct connection_target *target)
{
    const struct policy *policy = request->session->worker->shared->policy;
    if (!policy_allows(&policy->connect, &target->remote))
        return deny(request, "connect", &target->remote, OCHE_ERR_CONNECT_FAILED);
    if (target->source.length > 0 && !policy_allows(&policy->listen, &target->source))
        return deny(request, "bind", &target->source, OCHE_ERR_BIND_FAILED);
    return 0;
}

static int handle_connect(struct request *request)
{
    struct lane_message *message = request->message;
    struct connection_target target;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Connect *body = oche__connect__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return unpack_fault(&memory);
    int code = decode_target(&target, body);
    oche__connect__free_unpacked(body, &memory.allocator);
    if (code == 0)
        code = check_target(request, &target);
    if (code)
        return code;
    return connection_connect(request->session, message->frame.request_id, &target, &request->os_error);
}

static int handle_cancel(struct request *request)
{
    connection_cancel(request->session, request->message->frame.value);
    return 0;
}

static int handle_listen(struct request *request)
{
    struct lane_message *message = request->message;
    struct listener_target target;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Listen *body = oche__listen__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return unpack_fault(&memory);
    int code = 0;
    if (body->port > UINT16_MAX)
        code = OCHE_ERR_INVALID_ARGUMENT;
    else if (!address_from_wire(&target.local, body->address.data, body->address.len, body->scope_id, body->port))
        code = OCHE_ERR_INVALID_ADDRESS;
    target.v6_only = body->v6_only;
    target.shared = body->shared;
    target.backlog = body->backlog;
    oche__listen__free_unpacked(body, &memory.allocator);
    if (code == 0 &&
        !policy_allows_listener(&request->session->worker->shared->policy->listen, &target.local, target.v6_only))
        code = deny(request, "listen", &target.local, OCHE_ERR_BIND_FAILED);
    if (code)
        return code;
    return listener_listen(request->session, message->frame.request_id, &target, &request->os_error);
}

static int handle_accept(struct request *request)
{
    return listener_accept(request->listener, request->message->frame.request_id);
}

static int handle_read(struct request *request)
{
    return connection_grant(request->connection, request->message->frame.value) ? 0 : MALFORMED;
}

static int handle_release(struct request *request)
{
    const struct frame *frame = &request->message->frame;
    return lane_release(&request->session->lane, frame->payload_offset, frame->payload_length) ? 0 : MALFORMED;
}

static int handle_write(struct request *request)
{
    const struct frame *frame = &request->message->frame;
    struct payload *payload = &request->message->payload;
    int64_t before = request->session->long_write.open ? request->session->long_write.total : 0;
    int code = outgoing_write(request->connection, frame, payload, before + frame->payload_length, &request->os_error);
    if (code == 0)
        *payload = (struct payload){0};
    return code;
}

static int handle_close_write(struct request *request)
{
    return outgoing_close(request->connection, request->message->frame.request_id, &request->os_error);
}

static int handle_close(struct request *request)
{
    connection_close(request->connection);
    session_reply(request->session, FRAME_CLOSE, request->message->frame.request_id, 0, 0);
    return 0;
}

static int handle_abort(struct request *request)
{
    connection_abort(request->connection);
    session_reply(request->session, FRAME_ABORT, request->message->frame.request_id, 0, 0);
    return 0;
}

static void close_accepted(struct session *session, int64_t listener)
{
    for (uint32_t index = 0; index < session->sockets.size; index++) {
        enum socket_kind kind;
        struct connection *connection = socket_table_at(&session->sockets, index, &kind);
        if (kind == SOCKET_CONNECTION && connection->accepted_by == listener)
            connection_close(connection);
    }
}

static int handle_listener_close(struct request *request)
{
    const struct frame *frame = &request->message->frame;
    if (frame->value != 0 && frame->value != 1)
        return MALFORMED;
    bool postponed = listener_postpone_close(request->listener, frame->request_id);
    if (!postponed)
        listener_close(request->listener);
    if (frame->value == 1)
        close_accepted(request->session, frame->handle);
    if (!postponed)
        session_reply(request->session, FRAME_LISTENER_CLOSE, frame->request_id, 0, 0);
    return 0;
}

/* 0 or a negative errno. */
static int set_option(int fd, const Oche__Option *body)
{
    int value = body->value != 0;
    if (body->raw)
        return socket_option_set(fd, (int)body->raw->level, (int)body->raw->name, body->raw->value.data,
                                 (socklen_t)body->raw->value.len);
    switch (body->name) {
    case OCHE__OPTION__NAME__KEEP_ALIVE:
        return socket_option_set(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value);
    case OCHE__OPTION__NAME__NO_DELAY:
        return socket_option_set(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
    default:
        return -ENOPROTOOPT;
    }
}

static int handle_set_option(struct request *request)
{
    struct lane_message *message = request->message;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Option *body = oche__option__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return unpack_fault(&memory);
    int r = set_option(engine_socket_fd(request->connection->socket), body);
    oche__option__free_unpacked(body, &memory.allocator);
    if (r < 0) {
        request->os_error = -r;
        return OCHE_ERR_SOCKET_OPTION;
    }
    session_reply(request->session, FRAME_SET_OPTION, message->frame.request_id, 0, 0);
    return 0;
}

static int handle_get_option(struct request *request)
{
    struct lane_message *message = request->message;
    uint8_t value[SOCKET_OPTION_SIZE_MAX];
    socklen_t size = sizeof value;
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__RawOption *body = oche__raw_option__unpack(&memory.allocator, message->frame.body_length, message->body);
    if (!body)
        return unpack_fault(&memory);
    if (body->size < size)
        size = body->size;
    int r = socket_option_get(engine_socket_fd(request->connection->socket), (int)body->level, (int)body->name, value,
                              &size);
    oche__raw_option__free_unpacked(body, &memory.allocator);
    if (r < 0) {
        request->os_error = -r;
        return OCHE_ERR_SOCKET_OPTION;
    }
    Oche__RawOption answer = OCHE__RAW_OPTION__INIT;
    answer.value = (ProtobufCBinaryData){.data = value, .len = size};
    session_reply_message(request->session, &message->frame, size, &answer.base);
    return 0;
}

/* ---- the gate ---- */

static const struct operation operations[FRAME_OPCODE_END] = {
    [FRAME_HELLO] = {HAS_BODY, handle_hello},
    [FRAME_CONNECT] = {HAS_BODY | BEGINS, handle_connect},
    [FRAME_LISTEN] = {HAS_BODY | BEGINS, handle_listen},
    [FRAME_ACCEPT] = {NEEDS_LISTENER | BEGINS, handle_accept},
    [FRAME_READ] = {NEEDS_CONNECTION | IS_NOTICE, handle_read},
    [FRAME_WRITE] = {NEEDS_CONNECTION | HAS_PAYLOAD, handle_write},
    [FRAME_CLOSE_WRITE] = {NEEDS_CONNECTION, handle_close_write},
    [FRAME_CLOSE] = {NEEDS_CONNECTION, handle_close},
    [FRAME_LISTENER_CLOSE] = {NEEDS_LISTENER, handle_listener_close},
    [FRAME_SET_OPTION] = {NEEDS_CONNECTION | HAS_BODY, handle_set_option},
    [FRAME_STATISTICS] = {0, handle_statistics},
    [FRAME_RELEASE] = {HAS_PAYLOAD | IS_NOTICE, handle_release},
    [FRAME_CANCEL] = {IS_NOTICE, handle_cancel},
    [FRAME_HANDOVER] = {HAS_PAYLOAD, handle_handover},
    [FRAME_ABORT] = {NEEDS_CONNECTION, handle_abort},
    [FRAME_PING] = {0, handle_ping},
    [FRAME_GET_OPTION] = {NEEDS_CONNECTION | HAS_BODY, handle_get_option},
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
    if (frame->handle && !(operation->shape & (NEEDS_CONNECTION | NEEDS_LISTENER)))
        return "a handle, which this opcode does not have";
    if ((frame->flags & FRAME_MORE) && !frame->payload_length)
        return "an empty part of a long write";
    if (session->long_write.open && !(operation->shape & IS_NOTICE) &&
        (frame->opcode != FRAME_WRITE || frame->request_id != session->long_write.request_id ||
         frame->handle != session->long_write.handle))
        return "another frame inside a long write";
    return NULL;
}

static bool find_socket(struct request *request, unsigned shape)
{
    enum socket_kind kind;
    void *object = socket_table_find(&request->session->sockets, request->message->frame.handle, &kind);
    if (shape & NEEDS_CONNECTION) {
        request->connection = object;
        return kind == SOCKET_CONNECTION && request->connection->state == CONNECTION_OPEN;
    }
    if (shape & NEEDS_LISTENER) {
        request->listener = object;
        return kind == SOCKET_LISTENER && !request->listener->closing;
    }
    return true;
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

static int pass(struct request *request)
{
    const struct frame *frame = &request->message->frame;
    const struct operation *operation = &operations[frame->opcode];
    struct session *session = request->session;
    if (session->long_write.open && session->long_write.refused && !(operation->shape & IS_NOTICE))
        return session->long_write.code;
    if (!find_socket(request, operation->shape))
        return OCHE_ERR_INVALID_HANDLE;
    if (session->state != SESSION_GREETING && session->state != SESSION_OPEN && (operation->shape & BEGINS))
        return OCHE_ERR_DAEMON_LOST;
    if (session->worker->handing && frame->opcode == FRAME_LISTEN)
        return OCHE_ERR_DAEMON_LOST; /* the successor would not get it */
    return operation->handle(request);
}

void operations_handle(struct session *session, struct lane_message *message)
{
    const struct frame *frame = &message->frame;
    const char *fault = find_fault(session, frame);
    int code = 0;
    struct request request = {.session = session, .message = message};
    if (!fault) {
        code = pass(&request);
        if (code == MALFORMED)
            fault = "a body that cannot be decoded";
    }
    lane_free_payload(&session->lane, &message->payload);
    if (fault) {
        session_end_malformed(session, frame, fault);
        return;
    }
    bool answer = code < 0 && !(operations[frame->opcode].shape & IS_NOTICE);
    if (frame->opcode == FRAME_WRITE)
        answer = settle_long_write(session, frame, &code, &request.os_error);
    if (answer)
        session_reply(session, frame->opcode, frame->request_id, code, request.os_error);
}
