#include "client/session/admission.h"

#include "client/session/session.h"
#include "proto/errors.h"

int64_t admission_check(const struct oche_session *session)
{
    switch (session->state) {
    case SESSION_OPEN:
    case SESSION_FOLLOWING:
        return 0;
    case SESSION_LOST:
    case SESSION_AWAITED:
        return OCHE_ERR_DAEMON_LOST;
    case SESSION_CLOSED:
        break;
    }
    return OCHE_ERR_NOT_INITIALIZED;
}

int64_t admission_check_or_wait(const struct oche_session *session)
{
    bool waits = session->state == SESSION_LOST || session->state == SESSION_AWAITED;
    return waits && session->bell_fd >= 0 ? 0 : admission_check(session);
}

struct handle_entry *admission_find_connection(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_CONNECTION ? entry : NULL;
}

struct handle_entry *admission_find_readable(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && (entry->kind == HANDLE_CONNECTION || entry->kind == HANDLE_DATAGRAM) ? entry : NULL;
}

struct handle_entry *admission_find_closable(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind != HANDLE_LISTENER ? entry : NULL;
}

static struct handle_entry *find_listener(const struct oche_session *session, int64_t handle)
{
    struct handle_entry *entry = session_find(session, handle);
    return entry && entry->kind == HANDLE_LISTENER ? entry : NULL;
}

int64_t admission_find_listener(const struct oche_session *session, int64_t handle, struct handle_entry **entry)
{
    *entry = find_listener(session, handle);
    bool waits = session->state == SESSION_LOST || session->state == SESSION_AWAITED;
    int64_t status = *entry && waits ? 0 : admission_check(session); /* nothing but durable listeners is left then */
    if (status < 0)
        return status;
    return *entry ? 0 : OCHE_ERR_INVALID_HANDLE;
}
