/*
 * Looking for a daemon takes up to five seconds, and happens without the session's mutex: meanwhile the application
 * makes requests, which are queued in the detached lane, and limits of requests are kept through the deadline's duty.
 * What is read without the mutex (the paths, the token, the bell) changes only here and when the session is made, in
 * the one thread that dispatches it.
 *
 * An attempt ends in one of three ways: the lane is attached, the session is OPEN, and what was queued is sent; or the
 * session is lost, and everything pending has completed; or it is lost and AWAITED, with durable listeners that wait
 * for the next attempt. How long to wait before that one, and for how long in all, is up to backoff.h.
 */
#include "client/session/attachment.h"

#include "client/connect/daemon_connect.h"
#include "client/connect/lane_select.h"
#include "client/os/deadline.h"
#include "client/os/diagnostics.h"
#include "client/session/following.h"
#include "client/session/request.h"
#include "client/session/session.h"
#include "client/session/timekeeping.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum purpose {
    BEGIN,               /* for a session that has no daemon */
    FOLLOW,              /* the successor of its daemon */
    FOLLOW_FOR_LISTENERS /* the same; a successor that lacks the session's listeners is of no use */
};

/* Limits of requests go on while the session waits for a daemon. */
static void keep_time(void *context)
{
    struct oche_session *session = context;
    session_lock(session);
    timekeeping_run(session, deadline_now());
    session_unlock(session);
    if (session->deliver)
        session->deliver(session->deliver_context);
}

/* Connects a session that is prepared, lost or following, and sends what has been queued for it. */
static int64_t connect_daemon(struct oche_session *session, enum purpose purpose)
{
    bool follows = purpose != BEGIN;
    const struct deadline_duty duty = {.fd = session->schedule.alarm.fd, .run = keep_time, .context = session};
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
    selection.memory.mutex = &session->mutex;
    int error = lane_attach(&session->lane, selection.fd, selection.on_memory ? &selection.memory : NULL);
    if (error) {
        diagnostics_fail(-error, "cannot set up the session");
        status = error == -ENOMEM ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_DAEMON_UNAVAILABLE;
    } else if (purpose == FOLLOW_FOR_LISTENERS && !selection.resumed) {
        diagnostics_fail(0, "the daemon's successor does not have our listeners");
        status = OCHE_ERR_DAEMON_LOST;
    } else {
        session->has_token = selection.has_token;
        memcpy(session->token, selection.token, sizeof session->token);
        session->queued_bytes_max = selection.queued_bytes_max;
        session->last_batch = 0;
        session->idle = true;
        session->state = SESSION_OPEN;
        free(session->open_error);
        session->open_error = NULL;
        schedule_begin(&session->schedule, session->pending.owed > 0);
    }
    session_unlock(session);
    return status;
}

/* Ends with `code` what is pending, but for what is durable, if that is to be taken to another daemon. The mutex is
 * held. */
static void lose(struct oche_session *session, int64_t code, bool keep_durable)
{
    lane_detach(&session->lane);
    schedule_end(&session->schedule);
    bool kept = keep_durable && following_prepare_for_new(session, code);
    if (!kept) {
        request_end_all(session, code);
        durable_deinit(&session->durable);
    }
    handles_deinit(&session->handles);
    session_renew_tag(session);
    session->state = SESSION_LOST;
    if (kept)
        session_await(session);
    else
        session->backoff.pause = 0;
}

void attachment_lose(struct oche_session *session)
{
    backoff_lost(&session->backoff, deadline_now());
    lose(session, OCHE_ERR_DAEMON_LOST, true);
}

int64_t attachment_begin(struct oche_session *session)
{
    return connect_daemon(session, BEGIN);
}

/* Lets some time pass if daemons come and go too fast, or do not come at all. Limits of requests go on. */
static int64_t pause_before_reopening(struct oche_session *session)
{
    const struct deadline_duty duty = {.fd = session->schedule.alarm.fd, .run = keep_time, .context = session};
    struct deadline pause = deadline_in(session->backoff.pause, session->bell_fd);
    pause.duty = &duty;
    return deadline_poll(&pause, NULL, 0) == -ECANCELED ? OCHE_ERR_CLOSED : 0;
}

int64_t attachment_renew(struct oche_session *session)
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

/* The daemon has handed over, and hears nothing any more: goes on with its successor. */
int64_t attachment_follow(struct oche_session *session)
{
    session_lock(session);
    bool wanted = false;
    session->handed_over = false;
    lane_detach(&session->lane);
    schedule_end(&session->schedule);
    bool prepared = following_prepare_for_successor(session, &wanted);
    session->state = SESSION_FOLLOWING;
    session_unlock(session);

    enum purpose purpose = wanted ? FOLLOW_FOR_LISTENERS : FOLLOW;
    int64_t status = prepared ? connect_daemon(session, purpose) : OCHE_ERR_OUT_OF_MEMORY;
    if (status == 0)
        return 0;
    diagnostics_say("the daemon at %s is lost: its successor does not have this session", session->socket_path);
    session_lock(session);
    attachment_lose(session);
    session_unlock(session);
    return OCHE_ERR_DAEMON_LOST;
}
