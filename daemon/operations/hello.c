#include "daemon/operations/hello.h"

#include "daemon/handover/handover_items.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/operations/body.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/socket/listener.h"
#include "proto/arena.h"
#include "proto/errors.h"
#include "proto/handover.h"
#include "proto/oche.pb-c.h"
#include "proto/version.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RING_BYTES = 256 * 1024 /* of each of a session's rings: some thousand frames */ };

static void refuse_session(struct session *session, const struct frame *request, int code, const char *text)
{
    Oche__Failure failure = OCHE__FAILURE__INIT;
    failure.text = (char *)(uintptr_t)text;
    session_reply_message(session, request, code, &failure.base);
    session_end_refused(session, text);
}

/* Takes at most half of what the user has left. Returns bytes; 0: the session is on the plain lane. */
static uint32_t take_arena(struct session *session, uint32_t wanted)
{
    struct quota *quota = &session->account->quotas[ACCOUNT_ARENA_BYTES];
    if (wanted == 0)
        return 0;
    session->arena_bytes = quota_take_share(quota, wanted, ARENA_BLOCK);
    if (session->arena_bytes < wanted)
        session_refuse(session, ACCOUNT_ARENA_BYTES, quota->limit);
    return (uint32_t)session->arena_bytes;
}

static void give_back_arena(struct session *session)
{
    account_give_back(session->account, ACCOUNT_ARENA_BYTES, session->arena_bytes);
    session->arena_bytes = 0;
}

/* Welcomes the client on the memory lane, if it can use that and the system has what it takes. */
static bool welcome_in_memory(struct session *session, const struct frame *request, Oche__Welcome *welcome,
                              uint32_t wished)
{
    const struct limits *limits = &session->host->daemon->limits;
    uint32_t arena = wished && wished < limits->arena_bytes ? wished : limits->arena_bytes;
    arena = take_arena(session, (arena + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK);
    if (arena == 0)
        return false;
    struct memory_sizes sizes = {
        .request_ring = RING_BYTES,
        .reply_ring = RING_BYTES,
        .receive_arena = arena,
        .send_arena = arena,
    };
    Oche__Memory memory = OCHE__MEMORY__INIT;
    memory.request_ring = sizes.request_ring;
    memory.reply_ring = sizes.reply_ring;
    memory.receive_arena = sizes.receive_arena;
    memory.send_arena = sizes.send_arena;
    welcome->memory = &memory;

    uint8_t body[FRAME_BODY_MAX];
    const char *what;
    struct frame frame = session_pack_reply(request, 0, &welcome->base, body);
    int r = lane_move_to_memory(&session->lane, &sizes, &frame, body, &what);
    welcome->memory = NULL;
    if (r == 0)
        return true;
    give_back_arena(session);
    log_failure(LOG_WARNING, "session=%llu event=no-memory-lane why=\"%s\" error=\"%s\" errno=%d",
                (unsigned long long)session->number, what, errno_text(-r), -r);
    return false;
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

static void tell_lost(struct session *session, int64_t handle)
{
    const struct frame frame = {
        .opcode = FRAME_HANDOVER,
        .flags = FRAME_REPLY,
        .handle = handle,
        .value = HANDOVER_LOST,
    };
    session_reply(session, &frame, NULL, NULL);
}

/* Opens the listeners that a session before this one had, and tells the client, which has its Welcome, which of them
 * could not be had. Takes over their descriptors. */
static void resume(struct session *session, const struct handover_item *items, uint32_t count)
{
    uint32_t lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct handover_item *item = &items[i];
        bool closed = !is_listening(item->fd); /* while it was handed over */
        if (!closed && session->state == SESSION_OPEN && listener_restore(session, item->handle, item->fd))
            continue;
        close(item->fd);
        if (closed)
            continue;
        lost++;
        tell_lost(session, item->handle);
    }
    log_line(LOG_INFO, "session=%llu event=resume pid=%s listeners=%u lost=%u", (unsigned long long)session->number,
             session->pid_text, session->sockets.used, lost);
}

static void welcome(struct session *session, const struct frame *request, const Oche__Hello *hello)
{
    const struct limits *limits = &session->host->daemon->limits;
    Oche__Limits granted = OCHE__LIMITS__INIT;
    granted.handles = limits->handles;
    granted.queued_bytes = limits->queued_bytes;
    Oche__Welcome welcome = OCHE__WELCOME__INIT;
    welcome.version = hello->version_max < FRAME_VERSION_MAX ? hello->version_max : FRAME_VERSION_MAX;
    welcome.software = (char *)(uintptr_t)("oched " OCHE_VERSION);
    welcome.session = session->number;
    welcome.limits = &granted;
    session->follows = hello->follows && getrandom(session->token, sizeof session->token, 0) == sizeof session->token;
    if (session->follows)
        welcome.token = (ProtobufCBinaryData){.data = session->token, .len = sizeof session->token};
    struct handover_item *items = NULL;
    uint32_t count = 0;
    if (hello->token.len == HANDOVER_TOKEN_SIZE) {
        socket_table_begin_after(&session->sockets, hello->generation);
        count = handover_items_claim(session->host->daemon->unclaimed, hello->token.data, &items);
        welcome.resumed = count > 0;
    }
    engine_timer_cancel(&session->timer);
    session->state = SESSION_OPEN;
    bool in_memory = hello->memory && welcome_in_memory(session, request, &welcome, hello->arena);
    if (!in_memory)
        session_reply_message(session, request, 0, &welcome.base);
    if (count > 0)
        resume(session, items, count);
    free(items);
    log_line(LOG_INFO, "session=%llu event=open pid=%s software=\"%.64s\" lane=%s", (unsigned long long)session->number,
             session->pid_text, hello->software, in_memory ? "memory" : "plain");
}

bool hello_take(struct session *session, const struct frame *frame, const uint8_t *body)
{
    struct body_memory memory;
    body_memory_init(&memory);
    Oche__Hello *hello = oche__hello__unpack(&memory.allocator, frame->body_length, body);
    if (!hello && memory.was_short)
        session_end(session, "no memory for its HELLO", ENOMEM);
    if (!hello)
        return memory.was_short;
    if (hello->version_min > FRAME_VERSION_MAX || hello->version_max < FRAME_VERSION_MIN ||
        hello->version_min > hello->version_max)
        refuse_session(session, frame, OCHE_ERR_PROTOCOL,
                       "oched " OCHE_VERSION " speaks no protocol version that the client speaks");
    else if (session->refusal)
        refuse_session(session, frame, session->refusal_code, session->refusal);
    else
        welcome(session, frame, hello);
    oche__hello__free_unpacked(hello, &memory.allocator);
    return true;
}
