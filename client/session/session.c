#include "client/session/session.h"

#include "client/os/bell.h"
#include "client/session/public_handle.h"

#include <stdlib.h>

void session_init(struct oche_session *session, unsigned index)
{
    session->index = index;
    session->lane.plain.fd = session->lane.plain.epoll_fd = session->bell_fd = -1;
    session->schedule.alarm.fd = -1;
    pthread_mutex_init(&session->mutex, NULL);
}

/* All but the descriptors. */
static void clear(struct oche_session *session)
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
    session->deliver = NULL;
}

void session_deinit(struct oche_session *session)
{
    lane_deinit(&session->lane);
    schedule_deinit(&session->schedule);
    clear(session);
}

void session_forget(struct oche_session *session)
{
    lane_forget(&session->lane);
    schedule_deinit(&session->schedule);
    clear(session);
    session->state = SESSION_CLOSED;
    session->owner = NULL;
}

void session_renew_tag(struct oche_session *session)
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

void session_await(struct oche_session *session)
{
    if (session->bell_fd < 0)
        return;
    session->state = SESSION_AWAITED;
    bell_ring(session->bell_fd);
}

void session_rouse(struct oche_session *session)
{
    if (session->idle)
        lane_wake(&session->lane);
    session->idle = false;
}
