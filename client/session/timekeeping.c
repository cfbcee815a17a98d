/*
 * Limits are not sorted: most requests complete long before theirs is over, and going through all pending requests when
 * the first limit may be over costs less than keeping them in order with each request.
 */
#include "client/session/timekeeping.h"

#include "client/session/request.h"
#include "client/session/session.h"

static void run_limits(struct oche_session *session, int64_t now)
{
    struct pending_request *request = NULL;
    int64_t first = INT64_MAX;
    while ((request = pending_next(&session->pending, request))) {
        if (request->limit_at == 0)
            continue;
        if (request->limit_at <= now)
            request_time_out(session, request);
        else if (request->limit_at < first)
            first = request->limit_at;
    }
    session->schedule.limit_at = session->schedule.limits ? first : 0;
}

static bool run_heartbeat(struct oche_session *session, int64_t now)
{
    struct heartbeat *heartbeat = &session->schedule.heartbeat;
    const struct frame ping = {.opcode = FRAME_PING};
    heartbeat_see(heartbeat, lane_taken(&session->lane));
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
    struct schedule *schedule = &session->schedule;
    bool lost = false;
    if (schedule->limit_at && schedule->limit_at <= now)
        run_limits(session, now);
    if (schedule->heartbeat.due && schedule->heartbeat.due <= now)
        lost = run_heartbeat(session, now);
    schedule_set_alarm(schedule);
    return lost;
}
