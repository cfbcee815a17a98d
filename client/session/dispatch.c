/*
 * A dispatch is a few rounds. Each takes what the lane has received, outside of the mutex where that is a system call,
 * then has replies.h complete requests with it, looks at the time, and lets the lane send what that has queued. A frame
 * that no daemon sends, the end of the connection, and silence lose the daemon; the last word of a daemon that hands
 * over makes the session follow it.
 */
#include "client/session/dispatch.h"

#include "client/os/deadline.h"
#include "client/os/diagnostics.h"
#include "client/session/attachment.h"
#include "client/session/replies.h"
#include "client/session/session.h"
#include "client/session/timekeeping.h"
#include "proto/errors.h"

#include <errno.h>

/* Rounds per dispatch: enough to empty the socket's buffer, few enough that completions are seen soon. */
enum { DISPATCH_ROUNDS = 4 };

/* Takes the messages of a round. NULL, or what is wrong with one. The mutex is held. */
static const char *take_messages(struct oche_session *session)
{
    struct lane_message message;
    const char *fault = NULL;
    while (!fault && !session->handed_over && lane_next(&session->lane, &message, &fault) == LANE_MESSAGE) {
        heartbeat_hear(&session->schedule.heartbeat);
        fault = replies_take(session, &message);
    }
    return fault;
}

/* After all that has come: a daemon that has said something is not lost. True: it is. The mutex is held. */
static bool keep_time_if_due(struct oche_session *session)
{
    return session->schedule.alarm.at && timekeeping_run(session, deadline_now());
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

int64_t dispatch_ready(struct oche_session *session, unsigned ready)
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
            attachment_lose(session);
        } else if (!handed_over) {
            lane_done(&session->lane);
        }
        session_unlock(session);

        if (handed_over && !fault)
            return attachment_follow(session);

        if (fault) {
            diagnostics_say("the daemon at %s is lost: %s", session->socket_path, fault);
            return OCHE_ERR_DAEMON_LOST;
        }
        if (received == LANE_RECEIVED_ALL)
            break;
    }
    return 0;
}

int64_t dispatch_run(struct oche_session *session)
{
    int64_t status = dispatch_ready(session, lane_poll(&session->lane));
    if (status < 0)
        return status;
    session_lock(session);
    if (!lane_sleep(&session->lane))
        lane_wake(&session->lane); /* there is more, but others want their turn */
    session_unlock(session);
    return 0;
}

size_t dispatch_take(struct oche_session *session, struct oche_completion *completions, size_t count, bool *settled)
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

bool dispatch_pop(struct oche_session *session, struct oche_completion *completion)
{
    session_lock(session);
    bool popped = completions_pop(&session->completions, completion);
    if (!popped)
        session->idle = true;
    session_unlock(session);
    return popped;
}
