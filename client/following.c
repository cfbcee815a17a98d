#include "client/following.h"

#include "client/public_handle.h"
#include "client/session.h"
#include "proto/errors.h"

/* Pending reads included: those that end with the close of a listener do not wait for it any more. */
static void end_others(struct oche_session *session)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        request->reads = 0;
        if (request->opcode == FRAME_ACCEPT || request->opcode == FRAME_LISTENER_CLOSE)
            continue;
        struct oche_completion completion = {.result = OCHE_ERR_DAEMON_LOST};
        session_complete(session, request, &completion);
    }
}

static bool queue_again(struct oche_session *session, uint16_t opcode)
{
    struct pending_request *request = NULL;
    while ((request = pending_next(&session->pending, request))) {
        if (request->opcode != opcode)
            continue;
        if (lane_reserve(&session->lane, 0, 0) < 0)
            return false;
        struct frame frame = {
            .opcode = opcode,
            .request_id = pending_wire_id(&session->pending, request),
            .handle = public_to_wire(request->handle),
            .value = request->argument,
        };
        lane_put(&session->lane, &frame, NULL, NULL, 0, CHANNEL_WITH_THE_BATCH);
    }
    return true;
}

bool following_prepare(struct oche_session *session, bool *wanted)
{
    end_others(session);
    *wanted = handles_keep_listeners(&session->handles);
    /* A listener that is being closed may have accepts, too, which end with the close. */
    return queue_again(session, FRAME_ACCEPT) && queue_again(session, FRAME_LISTENER_CLOSE);
}
