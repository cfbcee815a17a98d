#include "client/session/cached.h"

#include "client/session/session.h"
#include "proto/errors.h"

int64_t cached_local(const struct oche_session *session, int64_t handle, struct endpoint *endpoint)
{
    const struct handle_entry *entry = session_find(session, handle);
    if (!entry)
        return OCHE_ERR_INVALID_HANDLE;
    *endpoint = entry->endpoints.local;
    return 0;
}

int64_t cached_remote(const struct oche_session *session, int64_t handle, struct endpoint *endpoint)
{
    const struct handle_entry *entry = session_find(session, handle);
    if (!entry || entry->endpoints.remote.address_length == 0)
        return OCHE_ERR_INVALID_HANDLE;
    *endpoint = entry->endpoints.remote;
    return 0;
}

int64_t cached_keep_alive(const struct oche_session *session, int64_t handle)
{
    const struct handle_entry *entry = session_find(session, handle);
    if (!entry || entry->kind != HANDLE_CONNECTION)
        return OCHE_ERR_INVALID_HANDLE;
    return entry->endpoints.keep_alive;
}

int64_t cached_no_delay(const struct oche_session *session, int64_t handle)
{
    const struct handle_entry *entry = session_find(session, handle);
    if (!entry || entry->kind != HANDLE_CONNECTION)
        return OCHE_ERR_INVALID_HANDLE;
    return entry->endpoints.no_delay;
}
