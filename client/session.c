#include "client/session.h"

#include "client/deadline.h"
#include "client/diagnostics.h"
#include "client/durable.h"
#include "client/following.h"
#include "client/forking.h"
#include "client/lane_select.h"
#include "client/paths.h"
#include "client/public_handle.h"
#include "client/replies.h"
#include "client/sessions.h"
#include "client/waiter.h"
#include "proto/arena.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rounds per dispatch: enough to empty the socket's buffer, few enough that completions are seen soon. */
enum { DISPATCH_ROUNDS = 4 };

/* From here on all handles made before are stale. The mutex is held. */
static void renew_tag(struct oche_session *session)
{
    session->generation = (session->generation + 1) & PUBLIC_GENERATION_MAX;
    session->tag = public_tag_make(session->index, session->generation);
}

bool session_has(const struct oche_session *session, int64_t handle)
{
    return public_tag(handle) == session->tag || durable_find(&session->durable, handle);
}

struct handle_entry *session_find(const struct oche_session *session, int64_t handle)
{
    struct durable_listener *durable = durable_find(&session->durable, handle);
    if (durable)
        return &durable->entry;
    if (handle <= 0 || public_tag(handle) != session->tag)
        return NULL;
    return handles_find(&session->handles, public_to_wire(handle));
}

void session_complete(struct oche_session *session, struct pending_request *request, struct oche_completion *completion)
{
    bool may_wait = request->opcode == FRAME_SET_OPTION || request->opcode == FRAME_GET_OPTION;
    struct waiter *waiter = may_wait ? request->waiter : NULL;
    session->queued_bytes -= request->charge;
    timekeeping_unlimit(session, request);
    completion->request_id = request->request_id;
    if (waiter)
        waiter_answer(waiter, completion->result, completion->os_error);
    else if (!request->unheard && !(request->quiet && completion->result >= 0))
        completions_push(&session->completions, completion);
    pending_remove(&session->pending, request);
}

/* The mutex is held. */
static void end_all(struct oche_session *session, int64_t result)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        struct oche_completion completion = {.result = result};
        session_complete(session, request, &completion); /* its slot is free now, but still a place to go on from */
    }
    handles_deinit(&session->handles);
    durable_deinit(&session->durable);
}

void session_await(struct oche_session *session)
{
    uint64_t one = 1;
    if (session->bell_fd < 0)
        return;
    session->state = SESSION_AWAITED;
    while (write(session->bell_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Ends with `code` what is pending, but for what is durable, if that is to be taken to another daemon. The mutex is
 * held.
 */
static void lose(struct oche_session *session, int64_t code, bool keep_durable)
{
    lane_detach(&session->lane);
    timekeeping_end(session);
    bool kept = keep_durable && durable_prepare(session, code);
    if (!kept)
        end_all(session, code);
    handles_deinit(&session->handles);
    renew_tag(session);
    session->state = SESSION_LOST;
    if (kept)
        session_await(session);
    else
        session->backoff.pause = 0;
}

enum purpose {
    BEGIN,               /* with nothing, or anew */
    FOLLOW,              /* to a successor, */
    FOLLOW_FOR_LISTENERS /* which is of no use if it does not have our listeners */
};

/* Limits of requests go on while the session waits for a daemon. */
static void keep_time(void *context)
{
    struct oche_session *session = context;
    session_lock(session);
    timekeeping_run(session, deadline_now());
    session_unlock(session);
    if (session->post)
        session->post(session->poster);
}

/* Connects a session that is prepared, lost or following, and sends what has been queued for it. */
static int64_t connect_daemon(struct oche_session *session, enum purpose purpose)
{
    bool follows = purpose != BEGIN;
    const struct deadline_duty duty = {.fd = session->time.alarm.fd, .run = keep_time, .context = session};
    struct daemon_connect connect = {
        .socket_path = session->socket_path,
        .daemon_path = session->daemon_path,
        .never_start = session->never_start || follows,
        .hello =
            {
                .arena_size = session->arena_size,
                .token = follows ? session->token : NULL,
                .generation = session->handles.newest_generation,
            },
    };
    struct lane_selection selection;
    struct deadline deadline = deadline_in(DAEMON_CONNECT_TIME_LIMIT, session->bell_fd);
    deadline.duty = &duty;
    int64_t status = lane_select_run(&connect, session->lane_choice, &deadline, &selection);
    if (status < 0)
        return status;

    session_lock(session);
    backoff_found(&session->backoff, deadline_now());
    if (selection.on_memory) {
        selection.memory.region->mutex = &session->mutex;
        selection.memory.region->lane = &session->lane;
    }
    int error = lane_attach(&session->lane, selection.fd, selection.on_memory ? &selection.memory : NULL);
    if (error) {
        diagnostics_fail(-error, "cannot set up the session");
        status = error == -ENOMEM ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_DAEMON_UNAVAILABLE;
    } else if (purpose == FOLLOW_FOR_LISTENERS && !selection.resumed) {
        diagnostics_fail(0, "the daemon's successor does not have our listeners");
        status = OCHE_ERR_DAEMON_LOST;
    } else {
        session->aborts = selection.aborts;
        session->raw_options = selection.raw_options;
        session->has_token = selection.has_token;
        memcpy(session->token, selection.token, sizeof session->token);
        session->queued_bytes_max = selection.queued_bytes_max;
        session->last_batch = 0;
        session->idle = true;
        session->state = SESSION_OPEN;
        free(session->open_error);
        session->open_error = NULL;
        timekeeping_begin(session, selection.answers_ping);
    }
    session_unlock(session);
    return status;
}

/* In whole blocks, as the daemon has it. */
static uint32_t arena_wish(uint32_t bytes)
{
    if (bytes > ARENA_SIZE_MAX)
        return ARENA_SIZE_MAX;
    return (bytes + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK;
}

/* Fills in a closed session, up to the connection. */
static int64_t fill_in(struct oche_session *session, const struct oche_session_options *options, const void *owner)
{
    const struct oche_session_options defaults = {.socket_path = NULL};
    if (!options)
        options = &defaults;
    errno = ENOMEM;
    char *socket_path = paths_socket(options->socket_path);
    int path_error = errno;
    bool named = options->daemon_path && *options->daemon_path;
    char *daemon_path = named ? strdup(options->daemon_path) : NULL;

    session_lock(session);
    session->socket_path = socket_path;
    session->daemon_path = daemon_path;
    session->never_start = options->never_start;
    session->arena_size = arena_wish(options->arena_size);
    session->quiet_writes = options->quiet_writes;
    session->tells_breaks = false;
    session->brings_endpoints = false;
    session->owner = owner;
    session->backoff = (struct backoff){0};
    renew_tag(session);
    int error = lane_init(&session->lane);
    if (!error)
        error = timekeeping_init(&session->time, session->lane.plain.epoll_fd);
    session_unlock(session);

    if (!socket_path && path_error != ENOMEM) {
        diagnostics_fail(path_error, "cannot make the path of the daemon's socket absolute");
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    if (!socket_path || (named && !daemon_path)) {
        diagnostics_fail(ENOMEM, "cannot open a session");
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    if (error) {
        diagnostics_fail(-error, "cannot make the descriptors that a session waits on");
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    return lane_select_wish(options->lane, &session->lane_choice);
}

/* Gives back a session that could not be opened. */
static void discard(struct oche_session *session)
{
    session_lock(session);
    session->owner = NULL;
    session->state = SESSION_CLOSED;
    session_unlock(session);
    session_free(session);
}

int64_t session_prepare(const struct oche_session_options *options, const void *owner, struct oche_session **session)
{
    *session = NULL;
    diagnostics_clear();
    struct oche_session *prepared = forking_prepare() == 0 ? sessions_take() : NULL;
    if (!prepared) {
        diagnostics_fail(0, "no memory for one more session, or %d are open", PUBLIC_SESSIONS);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    int64_t status = fill_in(prepared, options, owner);
    if (status < 0) {
        discard(prepared);
        return status;
    }
    session_lock(prepared);
    prepared->state = SESSION_LOST;
    session_unlock(prepared);
    *session = prepared;
    return 0;
}

/* Lets some time pass if daemons come and go too fast, or do not come at all. Limits of requests go on. */
static int64_t pause_before_reopening(struct oche_session *session)
{
    const struct deadline_duty duty = {.fd = session->time.alarm.fd, .run = keep_time, .context = session};
    struct deadline pause = deadline_in(session->backoff.pause, session->bell_fd);
    pause.duty = &duty;
    return deadline_poll(&pause, NULL, 0) == -ECANCELED ? OCHE_ERR_CLOSED : 0;
}

int64_t session_open(const struct oche_session_options *options, const void *owner, struct oche_session **session)
{
    int64_t status = session_prepare(options, owner, session);
    if (status == 0)
        status = connect_daemon(*session, BEGIN);
    if (status < 0 && *session) {
        discard(*session);
        *session = NULL;
    }
    return status;
}

int64_t session_reopen(struct oche_session *session)
{
    diagnostics_clear();
    session_lock(session);
    bool open = session->state == SESSION_OPEN;
    bool closed = session->state == SESSION_CLOSED;
    session_unlock(session);
    if (open || closed)
        return open ? 0 : OCHE_ERR_NOT_INITIALIZED;

    bool is_awaited = session->bell_fd >= 0;
    int64_t status = is_awaited ? pause_before_reopening(session) : 0;
    if (status == 0)
        status = connect_daemon(session, BEGIN);
    if (status < 0) {
        session_lock(session);
        free(session->open_error);
        session->open_error = strdup(diagnostics_last());
        bool in_time = backoff_failed(&session->backoff, deadline_now()) || !is_awaited;
        lose(session, status, in_time && status != OCHE_ERR_CLOSED);
        session_unlock(session);
    }
    return status;
}

void session_rouse(struct oche_session *session)
{
    if (session->idle)
        lane_wake(&session->lane);
    session->idle = false;
}

/* The daemon has handed over, and hears nothing any more: goes on with its successor. */
static int64_t follow(struct oche_session *session)
{
    session_lock(session);
    bool wanted = false;
    session->handed_over = false;
    lane_detach(&session->lane);
    timekeeping_end(session);
    bool prepared = following_prepare(session, &wanted);
    session->state = SESSION_FOLLOWING;
    session_unlock(session);

    enum purpose purpose = wanted ? FOLLOW_FOR_LISTENERS : FOLLOW;
    int64_t status = prepared ? connect_daemon(session, purpose) : OCHE_ERR_OUT_OF_MEMORY;
    if (status == 0)
        return 0;
    diagnostics_say("the daemon at %s is lost: its successor does not have this session", session->socket_path);
    session_lock(session);
    backoff_lost(&session->backoff, deadline_now());
    lose(session, OCHE_ERR_DAEMON_LOST, true);
    session_unlock(session);
    return OCHE_ERR_DAEMON_LOST;
}

/* Takes the messages of a round. NULL, or what is wrong with one. The mutex is held. */
static const char *take_messages(struct oche_session *session)
{
    struct lane_message message;
    const char *fault = NULL;
    while (!fault && !session->handed_over && lane_next(&session->lane, &message, &fault) == LANE_MESSAGE) {
        heartbeat_hear(&session->time.heartbeat);
        fault = replies_take(session, &message);
    }
    return fault;
}

/* After all that has come: a daemon that has said something is not lost. True: it is. The mutex is held. */
static bool keep_time_if_due(struct oche_session *session)
{
    return session->time.alarm.at && timekeeping_run(session, deadline_now());
}

static const char *receive_fault(int error)
{
    switch (error) {
    case -ECONNRESET:
        return "it ended the connection";
    case -EPROTO:
        return "bytes in the socket of a session that is on the memory lane";
    default:
        return "receiving failed";
    }
}

int64_t session_dispatch_ready(struct oche_session *session, unsigned ready)
{
    size_t delivered = 0;
    for (int round = 0; round < DISPATCH_ROUNDS; round++) {
        int received = lane_receive(&session->lane, ready);
        session_lock(session);
        if (received == -ENOTCONN) {
            keep_time_if_due(session);
            session_unlock(session);
            return OCHE_ERR_DAEMON_LOST;
        }
        session->idle = false;
        size_t before = session->completions.count;
        const char *fault = received < 0 ? receive_fault(received) : take_messages(session);
        delivered += session->completions.count - before;
        if (delivered > 0)
            session->last_batch = delivered;
        bool handed_over = session->handed_over;
        if (!fault && !handed_over && keep_time_if_due(session))
            fault = "it is there, but does not answer";
        if (fault) {
            backoff_lost(&session->backoff, deadline_now());
            lose(session, OCHE_ERR_DAEMON_LOST, true);
        } else if (!handed_over) {
            lane_done(&session->lane);
        }
        session_unlock(session);

        if (handed_over && !fault)
            return follow(session);

        if (fault) {
            diagnostics_say("the daemon at %s is lost: %s", session->socket_path, fault);
            return OCHE_ERR_DAEMON_LOST;
        }
        if (received == LANE_RECEIVED_ALL)
            break;
    }
    return 0;
}

int64_t session_dispatch(struct oche_session *session)
{
    int64_t status = session_dispatch_ready(session, lane_poll(&session->lane));
    if (status < 0)
        return status;
    session_lock(session);
    if (!lane_sleep(&session->lane))
        lane_wake(&session->lane); /* there is more, but others want their turn */
    session_unlock(session);
    return 0;
}

size_t session_take(struct oche_session *session, struct oche_completion *completions, size_t count, bool *settled)
{
    size_t taken = 0;
    session_lock(session);
    while (taken < count && completions_pop(&session->completions, &completions[taken]))
        taken++;
    session->idle = session->completions.count == 0 && lane_sleep(&session->lane);
    *settled = session->idle;
    session_unlock(session);
    return taken;
}

bool session_pop_one(struct oche_session *session, struct oche_completion *completion)
{
    session_lock(session);
    bool popped = completions_pop(&session->completions, completion);
    if (!popped)
        session->idle = true;
    session_unlock(session);
    return popped;
}

void session_end(struct oche_session *session)
{
    session_lock(session);
    lane_detach(&session->lane);
    end_all(session, OCHE_ERR_CLOSED);
    session->state = SESSION_CLOSED;
    session_unlock(session);
}

/* All but the lane. The mutex is held. */
static void deinit(struct oche_session *session)
{
    pending_deinit(&session->pending);
    handles_deinit(&session->handles);
    durable_deinit(&session->durable);
    completions_deinit(&session->completions);
    free(session->socket_path);
    free(session->daemon_path);
    free(session->open_error);
    session->socket_path = session->daemon_path = session->open_error = NULL;
    session->queued_bytes = 0;
    session->bell_fd = -1;
    session->post = NULL;
}

void session_free(struct oche_session *session)
{
    session_lock(session);
    lane_deinit(&session->lane);
    timekeeping_deinit(&session->time);
    deinit(session);
    session_unlock(session);
    sessions_put(session);
}

void session_forget(struct oche_session *session)
{
    lane_forget(&session->lane);
    timekeeping_deinit(&session->time);
    deinit(session);
    session->state = SESSION_CLOSED;
    session->owner = NULL;
}
