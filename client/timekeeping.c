#include "client/timekeeping.h"

#include "client/deadline.h"
#include "client/session.h"
#include "proto/errors.h"

#include <errno.h>

int timekeeping_init(struct timekeeping *time, int epoll_fd)
{
    *time = (struct timekeeping){.limits = 0};
    return alarm_init(&time->alarm, epoll_fd, SESSION_EPOLL_ALARM);
}

void timekeeping_deinit(struct timekeeping *time)
{
    alarm_deinit(&time->alarm);
}

static void set_alarm(struct timekeeping *time)
{
    int64_t at = time->heartbeat.due;
    if (time->limit_at && (!at || time->limit_at < at))
        at = time->limit_at;
    alarm_set(&time->alarm, at);
}

void timekeeping_begin(struct oche_session *session, bool answers_ping)
{
    if (!answers_ping)
        return;
    heartbeat_begin(&session->time.heartbeat);
    if (session->pending.owed > 0)
        timekeeping_owe(session);
}

void timekeeping_end(struct oche_session *session)
{
    session->time.heartbeat = (struct heartbeat){.state = HEARTBEAT_OFF};
    set_alarm(&session->time);
}

void timekeeping_owe(struct oche_session *session)
{
    struct timekeeping *time = &session->time;
    if (!heartbeat_needs_watch(&time->heartbeat))
        return;
    heartbeat_watch(&time->heartbeat, deadline_now());
    set_alarm(time);
}

void timekeeping_limit(struct oche_session *session, struct pending_request *request, uint32_t milliseconds)
{
    struct timekeeping *time = &session->time;
    if (milliseconds == 0)
        return;
    request->limit_at = deadline_now() + milliseconds;
    if (time->limits++ == 0 || request->limit_at < time->limit_at)
        time->limit_at = request->limit_at;
    set_alarm(time);
}

void timekeeping_unlimit(struct oche_session *session, struct pending_request *request)
{
    struct timekeeping *time = &session->time;
    if (request->opcode != FRAME_CONNECT || request->limit_at == 0)
        return;
    request->limit_at = 0;
    if (--time->limits > 0)
        return;
    time->limit_at = 0;
    set_alarm(time);
}

/* Tells the application, and the daemon if there is memory for that: it has a timer for the connect, too. */
static void time_out(struct oche_session *session, struct pending_request *request)
{
    bool cancelled = request->given_up;
    struct oche_completion completion = {
        .request_id = request->request_id,
        .result = cancelled ? OCHE_ERR_CLOSED : OCHE_ERR_TIMED_OUT,
        .os_error = cancelled ? ECANCELED : ETIMEDOUT,
    };
    completions_push(&session->completions, &completion);
    session->idle = false;
    timekeeping_unlimit(session, request);
    request->unheard = true;
    if (cancelled || lane_reserve(&session->lane, 0, 0) < 0)
        return;
    struct frame frame = {.opcode = FRAME_CANCEL, .value = pending_wire_id(&session->pending, request)};
    lane_put(&session->lane, &frame, NULL, NULL, 0, LANE_WITH_THE_BATCH);
}

static void run_limits(struct oche_session *session, int64_t now)
{
    struct timekeeping *time = &session->time;
    struct pending_request *request = NULL;
    int64_t first = INT64_MAX;
    while ((request = pending_next(&session->pending, request))) {
        if (request->opcode != FRAME_CONNECT || request->limit_at == 0)
            continue;
        if (request->limit_at <= now)
            time_out(session, request);
        else if (request->limit_at < first)
            first = request->limit_at;
    }
    time->limit_at = time->limits ? first : 0;
}

static bool run_heartbeat(struct oche_session *session, int64_t now)
{
    struct heartbeat *heartbeat = &session->time.heartbeat;
    const struct frame ping = {.opcode = FRAME_PING};
    switch (heartbeat_tick(heartbeat, now, session->pending.owed > 0)) {
    case HEARTBEAT_FINE:
        return false;
    case HEARTBEAT_ASK:
        if (lane_reserve(&session->lane, 0, 0) == 0) {
            lane_put(&session->lane, &ping, NULL, NULL, 0, LANE_AT_ONCE);
            heartbeat_asked(heartbeat);
        }
        return false;
    case HEARTBEAT_LOST:
        break;
    }
    return true;
}

bool timekeeping_run(struct oche_session *session, int64_t now)
{
    struct timekeeping *time = &session->time;
    bool lost = false;
    if (time->limit_at && time->limit_at <= now)
        run_limits(session, now);
    if (time->heartbeat.due && time->heartbeat.due <= now)
        lost = run_heartbeat(session, now);
    set_alarm(time);
    return lost;
}
