/*
 * What oche.h has for isolates of a Dart VM, beyond tcp_socket.h. The session is that of the calling isolate, found
 * through the VM, or, where there is a handle, the one that the handle names: such functions may be leaf calls, in
 * which the VM must not be asked.
 */
#include <oche/oche.h>

#include "client/export.h"
#include "client/os/diagnostics.h"
#include "client/port/isolates.h"
#include "client/port/poster.h"
#include "client/session/ahead.h"
#include "client/session/cached.h"
#include "client/session/opening.h"
#include "client/session/operations.h"
#include "client/session/options.h"
#include "client/session/securing.h"
#include "client/session/session.h"
#include "client/tcp_arguments.h"
#include "proto/errors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

EXPORT int64_t oche_isolate_open(void *dart_api_dl_data, int64_t send_port)
{
    return isolates_begin(dart_api_dl_data, send_port, false);
}

EXPORT const char *oche_isolate_open_error(void)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    diagnostics_clear();
    if (!poster)
        return diagnostics_last();
    session_lock(poster->session);
    if (poster->session->open_error)
        diagnostics_recall(poster->session->open_error);
    session_unlock(poster->session);
    isolates_unlock();
    return diagnostics_last();
}

EXPORT int64_t oche_isolate_enable(int64_t features)
{
    const int64_t known = OCHE_FEATURE_ERROR_DETAIL | OCHE_FEATURE_BATCHED_POSTS | OCHE_FEATURE_QUIET_WRITES |
                          OCHE_FEATURE_BREAKS | OCHE_FEATURE_ENDPOINTS | OCHE_FEATURE_WORDS;
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status = features & ~known ? OCHE_ERR_INVALID_ARGUMENT : 0;
    if (status == 0) {
        atomic_store(&poster->features, features);
        session_lock(poster->session);
        poster->session->quiet_writes = features & OCHE_FEATURE_QUIET_WRITES;
        poster->session->tells_breaks = features & OCHE_FEATURE_BREAKS;
        poster->session->brings_endpoints = features & OCHE_FEATURE_ENDPOINTS;
        poster->session->brings_words = features & OCHE_FEATURE_WORDS;
        session_unlock(poster->session);
    }
    isolates_unlock();
    return status;
}

EXPORT oche_session *oche_isolate_session(void)
{
    const struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return NULL;
    oche_session *session = poster->session;
    isolates_unlock();
    return session;
}

EXPORT int64_t oche_isolate_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                                    const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port,
                                    int64_t timeout_ms)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status;
    if (!tcp_arguments_is_scoped_length(addr_len) ||
        (source_addr_len != 0 && !tcp_arguments_is_scoped_length(source_addr_len))) {
        status = OCHE_ERR_INVALID_ADDRESS;
    } else if (!tcp_arguments_is_port(port) || !tcp_arguments_is_port(source_port) || timeout_ms < 0 ||
               timeout_ms > UINT32_MAX) {
        status = OCHE_ERR_INVALID_ARGUMENT;
    } else {
        struct oche_connect_options options = {
            .address = addr,
            .address_length = tcp_arguments_address_length(addr_len),
            .scope_id = tcp_arguments_scope_id(addr, addr_len),
            .port = (uint16_t)port,
            .source_address = source_addr,
            .source_address_length = tcp_arguments_address_length(source_addr_len),
            .source_scope_id = tcp_arguments_scope_id(source_addr, source_addr_len),
            .source_port = (uint16_t)source_port,
            .timeout_ms = (uint32_t)timeout_ms,
        };
        session_lock(poster->session);
        status = opening_connect(poster->session, request_id, &options);
        session_unlock(poster->session);
    }
    isolates_unlock();
    return status;
}

EXPORT int64_t oche_isolate_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                                   bool v6_only, int64_t backlog, bool shared, bool durable)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status;
    if (!tcp_arguments_is_scoped_length(addr_len)) {
        status = OCHE_ERR_INVALID_ADDRESS;
    } else if (!tcp_arguments_is_port(port)) {
        status = OCHE_ERR_INVALID_ARGUMENT;
    } else {
        struct oche_listen_options options = {
            .address = addr,
            .address_length = tcp_arguments_address_length(addr_len),
            .scope_id = tcp_arguments_scope_id(addr, addr_len),
            .port = (uint16_t)port,
            .v6_only = v6_only,
            .backlog = backlog < 0         ? 0
                       : backlog > INT_MAX ? INT_MAX
                                           : (uint32_t)backlog,
            .shared = shared,
            .durable = durable,
        };
        session_lock(poster->session);
        status = opening_listen(poster->session, request_id, &options);
        session_unlock(poster->session);
    }
    isolates_unlock();
    return status;
}

EXPORT int64_t oche_isolate_cancel(int64_t request_id)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    session_lock(poster->session);
    int64_t status = operation_cancel(poster->session, request_id);
    session_unlock(poster->session);
    isolates_unlock();
    return status;
}

EXPORT int64_t oche_isolate_limit(int64_t request_id, int64_t milliseconds)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status = OCHE_ERR_INVALID_ARGUMENT;
    if (milliseconds >= 0 && milliseconds <= UINT32_MAX) {
        session_lock(poster->session);
        status = operation_limit(poster->session, request_id, (uint32_t)milliseconds);
        session_unlock(poster->session);
    }
    isolates_unlock();
    return status;
}

static int64_t set_option(int64_t request_id, int64_t handle, enum options_flag flag, bool enabled)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = options_set_flag(session, request_id, handle, flag, enabled);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_set_keep_alive(int64_t request_id, int64_t handle, bool enabled)
{
    return set_option(request_id, handle, OPTIONS_KEEP_ALIVE, enabled);
}

EXPORT int64_t oche_isolate_set_no_delay(int64_t request_id, int64_t handle, bool enabled)
{
    return set_option(request_id, handle, OPTIONS_NO_DELAY, enabled);
}

typedef int64_t endpoint_getter(const struct oche_session *session, int64_t handle, struct endpoint *endpoint);

static int64_t get_address(int64_t handle, endpoint_getter *getter, uint8_t *out)
{
    int64_t status;
    struct endpoint endpoint;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = getter(session, handle, &endpoint);
    session_unlock(session);
    if (status < 0)
        return status;
    if (!out)
        return OCHE_ERR_INVALID_ARGUMENT;
    memcpy(out, endpoint.address, endpoint.address_length);
    if (endpoint.scope_id == 0)
        return endpoint.address_length;
    memcpy(out + 16, &endpoint.scope_id, sizeof endpoint.scope_id);
    return TCP_ARGUMENTS_SCOPED_LENGTH;
}

EXPORT int64_t oche_isolate_get_local_address(int64_t handle, uint8_t *out)
{
    return get_address(handle, cached_local, out);
}

EXPORT int64_t oche_isolate_get_remote_address(int64_t handle, uint8_t *out)
{
    return get_address(handle, cached_remote, out);
}

typedef int64_t option_call(struct oche_session *session, int64_t handle, const struct options_raw *option,
                            int32_t *os_error);

static int64_t call_with_option(option_call *call, int64_t handle, int64_t level, int64_t name, void *value,
                                int64_t size, int32_t *os_error)
{
    int64_t status;
    if (!os_error || level < INT32_MIN || level > INT32_MAX || name < INT32_MIN || name > INT32_MAX || size < 0 ||
        size > INT32_MAX)
        return OCHE_ERR_INVALID_ARGUMENT;
    const struct options_raw option = {
        .level = (int32_t)level,
        .name = (int32_t)name,
        .value = value,
        .size = (size_t)size,
    };
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = call(session, handle, &option, os_error);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_set_option(int64_t handle, int64_t level, int64_t name, const uint8_t *value, int64_t size,
                                       int32_t *os_error)
{
    /* Which is only read. */
    void *read = (void *)(uintptr_t)value;
    return call_with_option(options_set_and_wait, handle, level, name, read, size, os_error);
}

EXPORT int64_t oche_isolate_get_option(int64_t handle, int64_t level, int64_t name, uint8_t *value, int64_t size,
                                       int32_t *os_error)
{
    return call_with_option(options_get_and_wait, handle, level, name, value, size, os_error);
}

EXPORT int64_t oche_isolate_tls_info(int64_t handle, int64_t item, uint8_t *out, int64_t room)
{
    int64_t status;
    if (room < 0 || (!out && room > 0))
        return OCHE_ERR_INVALID_ARGUMENT;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = securing_info_and_wait(session, handle, item, out, (size_t)room);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_abort(int64_t request_id, int64_t handle)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = operation_abort(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_ahead(int64_t handle, int64_t count)
{
    int64_t status;
    if (count < 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = ahead_count(session, handle, (uint64_t)count);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_take(int64_t handle, uint8_t *into, int64_t offset, int64_t count)
{
    int64_t status;
    if (!into || offset < 0 || count < 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = ahead_take(session, handle, into + offset, (uint64_t)count);
    session_unlock(session);
    return status;
}

/* Neither address nor port, which a later session may have again. */
struct guard {
    uint64_t poster;
};

EXPORT void *oche_isolate_guard(void)
{
    struct guard *guard = NULL;
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return NULL;
    guard = malloc(sizeof *guard);
    if (guard)
        *guard = (struct guard){.poster = poster->number};
    isolates_unlock();
    return guard;
}

EXPORT void oche_isolate_release(void *guard)
{
    const struct guard *released = guard;
    if (!released)
        return;
    struct poster *poster = isolates_take_numbered(released->poster);
    if (poster)
        poster_end(poster);
    free(guard);
}
