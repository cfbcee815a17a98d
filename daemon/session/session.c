#include "daemon/session/session.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session_host.h"
#include "daemon/session/socket_kind.h"
#include "daemon/session/tenant.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GONE "the client is gone"

static bool on_frame(void *owner, struct lane_message *message)
{
    struct session *session = owner;
    session->host->handle(session, message);
    return session->state != SESSION_ENDED;
}

static void on_relieved(void *owner)
{
    struct session *session = owner;
    struct list waiting;
    struct list *node;
    list_init(&waiting);
    list_splice(&waiting, &session->waiting_for_room);
    while ((node = list_take_first(&waiting))) {
        struct socket *socket = list_entry(node, struct socket, node);
        socket->kind->relieve(socket);
    }
}

/* The client has begun a write and will not end it: what there is of it is no whole stream. */
static void cut_unfinished_write(struct session *session)
{
    int64_t handle = session->long_write.open ? session->long_write.handle : lane_unfinished_handle(&session->lane);
    struct socket *socket = socket_table_find(&session->sockets, handle);
    if (socket && socket->kind->cut)
        socket->kind->cut(socket);
}

/*
 * The client is gone, but what it has written before is not lost: as a kernel sends what is in the buffers of a process
 * that has ended, so do we, until the peers have all of it or their time is over.
 */
static void linger(struct session *session, int os_error)
{
    bool greeted = session->state != SESSION_GREETING;
    session->state = SESSION_LINGERING;
    if (greeted)
        lane_finish(&session->lane);
    if (session->state == SESSION_ENDED)
        return; /* what it has left behind was malformed */
    cut_unfinished_write(session);
    size_t queued = session->queued_bytes;
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index)))
        socket->kind->orphan(socket);
    if (list_is_empty(&session->lingering))
        session_end(session, GONE, os_error);
    else
        log_line(LOG_INFO, "session=%llu event=linger pid=%s queued=%zu", (unsigned long long)session->number,
                 session->pid_text, queued);
}

void session_linger_less(struct session *session)
{
    if (session->state == SESSION_LINGERING && list_is_empty(&session->lingering))
        session_end(session, GONE, 0);
}

static void on_broken(void *owner, const char *why, int os_error)
{
    struct session *session = owner;
    if (why && os_error)
        session_end(session, why, os_error);
    else if (why)
        session_end_malformed(session, &session->lane.last, why);
    else if (session->state != SESSION_LINGERING)
        linger(session, os_error == ECONNRESET || os_error == EPIPE ? 0 : os_error);
}

static void on_closed(void *owner)
{
    struct session *session = owner;
    struct session_host *host = session->host;
    struct account *account = session->account;
    bool refused = session->refusal != NULL;
    lane_deinit(&session->lane);
    socket_table_deinit(&session->sockets);
    list_remove(&session->node);
    account_give_back(account, ACCOUNT_ARENA_BYTES, session->arena_bytes);
    tenant_leave(session->tenant);
    free(session);
    host->session_gone(host, account, refused);
}

static const struct lane_user lane_handlers = {
    .frame = on_frame,
    .relieved = on_relieved,
    .broken = on_broken,
    .closed = on_closed,
};

static void on_timeout(void *owner)
{
    session_end(owner, "no HELLO came", ETIMEDOUT);
}

struct session *session_new(struct session_host *host, int fd, const struct session_client *client)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->host = host;
    session->number = client->number;
    session->pid = client->pid;
    memcpy(session->pid_text, client->pid_text, sizeof session->pid_text);
    session->account = client->account;
    session->refusal = client->refusal;
    session->refusal_code = client->refusal_code;
    list_init(&session->node);
    list_init(&session->requests);
    list_init(&session->waiting_for_room);
    list_init(&session->lingering);
    socket_table_init(&session->sockets, host->daemon->limits.handles);
    session->tenant = tenant_enter(&host->tenants, host->engine, client->pid);
    if (!session->tenant) {
        free(session);
        return NULL;
    }
    engine_timer_init(&session->timer, host->engine, on_timeout, session);
    if (lane_init(&session->lane, &session->tenant->slice, fd, &lane_handlers, session) < 0) {
        tenant_leave(session->tenant);
        free(session);
        return NULL;
    }
    engine_timer_set(&session->timer, HELLO_TIMEOUT_MS);
    list_append(&host->sessions, &session->node);
    return session;
}

static void abandon_sockets(struct session *session, bool whole)
{
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index)))
        socket->kind->abandon(socket, whole);
    while (!list_is_empty(&session->lingering)) {
        socket = list_entry(session->lingering.next, struct socket, node);
        socket->kind->abandon(socket, whole);
    }
}

/* The part that all ends share; the caller has logged. `failed`: something is lost that the client has sent. */
static void end(struct session *session, bool failed)
{
    bool whole = !failed && !session->long_write.open && lane_is_read(&session->lane);
    session->state = SESSION_ENDED;
    engine_timer_deinit(&session->timer);
    abandon_sockets(session, whole);
    lane_close(&session->lane);
}

void session_end(struct session *session, const char *why, int os_error)
{
    if (session->state == SESSION_ENDED)
        return;
    if (os_error)
        log_line(LOG_WARNING, "session=%llu event=end pid=%s why=\"%s\" error=\"%s\" errno=%d sockets=%u",
                 (unsigned long long)session->number, session->pid_text, why, errno_text(os_error), os_error,
                 session->sockets.used);
    else
        log_line(LOG_INFO, "session=%llu event=end pid=%s why=\"%s\" sockets=%u", (unsigned long long)session->number,
                 session->pid_text, why, session->sockets.used);
    end(session, os_error != 0);
}

void session_end_malformed(struct session *session, const struct frame *frame, const char *why)
{
    if (session->state == SESSION_ENDED)
        return;
    log_failure(LOG_WARNING,
                "session=%llu event=malformed pid=%s why=\"%s\" opcode=%u(%s) flags=%#x body=%u payload=%u sockets=%u",
                (unsigned long long)session->number, session->pid_text, why, frame->opcode,
                frame_opcode_name(frame->opcode), frame->flags, frame->body_length, frame->payload_length,
                session->sockets.used);
    end(session, true);
}

void session_end_refused(struct session *session, const char *why)
{
    if (session->state == SESSION_ENDED)
        return;
    log_failure(LOG_WARNING, "session=%llu event=refused pid=%s why=\"%s\"", (unsigned long long)session->number,
                session->pid_text, why);
    end(session, false);
}

/* Sockets of a client that does not follow end with its session. */
static bool hands_over(const struct session *session)
{
    return session->state == SESSION_OPEN && session->follows;
}

int session_offer(const struct session *session, struct handover_items *items)
{
    uint32_t index = 0;
    struct socket *socket;
    while (hands_over(session) && (socket = socket_table_next(&session->sockets, &index))) {
        int r = socket->kind->offer ? socket->kind->offer(socket, items) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

void session_keep(struct session *session)
{
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index))) {
        if (socket->kind->keep)
            socket->kind->keep(socket);
    }
}

void session_give(struct session *session)
{
    static const struct frame yours = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .value = HANDOVER_YOURS,
    };
    if (!hands_over(session))
        return;
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index))) {
        if (socket->kind->give)
            socket->kind->give(socket);
    }
    session_reply(session, &yours, NULL, NULL);
}

void session_drain(struct session *session)
{
    if (session->state == SESSION_GREETING)
        session_end(session, "the daemon leaves", 0);
    if (session->state != SESSION_OPEN)
        return;
    session->state = SESSION_DRAINING;
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index))) {
        if (socket->kind->drain)
            socket->kind->drain(socket);
    }
}

bool session_is_drained(const struct session *session)
{
    return session->state == SESSION_ENDED || (session->queued_bytes == 0 && list_is_empty(&session->lingering) &&
                                               !session->long_write.open && lane_is_idle(&session->lane));
}

void session_reply(struct session *session, const struct frame *frame, const void *body, const void *payload)
{
    if (session->state == SESSION_ENDED)
        return;
    if (lane_put(&session->lane, frame, body, payload) < 0)
        session_end(session, "no memory for a reply", ENOMEM);
}

static void log_refusal(const struct session *session, const char *what, int64_t limit, const char *advice)
{
    log_failure(
        LOG_WARNING,
        "session=%llu event=quota pid=%s uid=%u what=\"%s\" limit=%lld advice=\"more refusals like this one are "
        "counted, not told: ochectl statistics; see %s\"",
        (unsigned long long)session->number, session->pid_text, (unsigned)session->account->uid, what, (long long)limit,
        advice);
}

int session_refuse(struct session *session, enum account_quota what, int64_t limit)
{
    static const struct {
        const char *name, *advice;
    } texts[ACCOUNT_QUOTAS] = {
        [ACCOUNT_SESSIONS] = {"sessions", "--max-sessions"},
        [ACCOUNT_HANDLES] = {"handles", "--max-handles and --user-max-handles"},
        [ACCOUNT_QUEUED_BYTES] = {"queued bytes", "--max-queued-bytes and --user-max-queued-bytes"},
        [ACCOUNT_ARENA_BYTES] = {"arena bytes", "--user-max-arena-bytes"},
        [ACCOUNT_REQUESTS] = {"requests", "--user-max-requests"},
    };
    if (account_refuse(session->account, what))
        log_refusal(session, texts[what].name, limit, texts[what].advice);
    return OCHE_ERR_QUOTA;
}

int session_refuse_turn(struct session *session, enum account_rate what)
{
    struct account *account = session->account;
    bool of_sessions = what == ACCOUNT_SESSION_RATE;
    if (account_refuse_turn(account, what))
        log_refusal(session, of_sessions ? "sessions a second" : "connections a second",
                    account->rates[what].per_second,
                    of_sessions ? "--user-max-session-rate" : "--user-max-connection-rate");
    return OCHE_ERR_QUOTA;
}

struct frame session_pack_reply(const struct frame *request, int64_t value, const ProtobufCMessage *message,
                                uint8_t body[FRAME_BODY_MAX])
{
    return (struct frame){
        .opcode = request->opcode,
        .flags = FRAME_REPLY,
        .body_length = (uint16_t)protobuf_c_message_pack(message, body),
        .request_id = request->request_id,
        .value = value,
    };
}

void session_reply_message(struct session *session, const struct frame *request, int64_t value,
                           const ProtobufCMessage *message)
{
    uint8_t body[FRAME_BODY_MAX];
    struct frame frame = session_pack_reply(request, value, message, body);
    session_reply(session, &frame, body, NULL);
}
