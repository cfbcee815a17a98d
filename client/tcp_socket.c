/*
 * tcp_socket.h, for isolates of a Dart VM. Its numbers are 64 bits wide, as Dart's are, and are checked here
 * (tcp_arguments.h) before the layers below get them.
 */
#include <oche/tcp_socket.h>

#include "client/export.h"
#include "client/port/isolates.h"
#include "client/port/poster.h"
#include "client/session/accepting.h"
#include "client/session/cached.h"
#include "client/session/operations.h"
#include "client/session/options.h"
#include "client/session/session.h"
#include "client/tcp_arguments.h"
#include "proto/errors.h"

#include <string.h>

EXPORT int64_t tcp_init(void *dart_api_dl_data, int64_t send_port)
{
    return isolates_begin(dart_api_dl_data, send_port, true);
}

EXPORT int64_t tcp_destroy(void)
{
    struct poster *poster = isolates_take(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    poster_end(poster);
    return 0;
}

EXPORT int64_t tcp_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                           const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port)
{
    if (addr_len == TCP_ARGUMENTS_SCOPED_LENGTH ||
        source_addr_len == TCP_ARGUMENTS_SCOPED_LENGTH) /* not the contract's */
        addr_len = -1;
    return oche_isolate_connect(request_id, addr, addr_len, port, source_addr, source_addr_len, source_port, 0);
}

EXPORT int64_t tcp_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, bool v6_only,
                          int64_t backlog, bool shared)
{
    if (addr_len == TCP_ARGUMENTS_SCOPED_LENGTH) /* not the contract's */
        addr_len = -1;
    return oche_isolate_listen(request_id, addr, addr_len, port, v6_only, backlog, shared, false);
}

typedef int64_t request_maker(struct oche_session *session, int64_t request_id, int64_t handle);

static int64_t make_request(int64_t request_id, int64_t handle, request_maker *maker)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = maker(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t tcp_accept(int64_t request_id, int64_t listener)
{
    return make_request(request_id, listener, accepting_accept);
}

EXPORT int64_t tcp_read(int64_t request_id, int64_t handle)
{
    return make_request(request_id, handle, operation_read);
}

EXPORT int64_t tcp_write(int64_t request_id, int64_t handle, const uint8_t *data, int64_t offset, int64_t count)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    if (offset < 0 || count < 0 || (!data && count > 0) || (uint64_t)offset > PTRDIFF_MAX)
        status = OCHE_ERR_INVALID_ARGUMENT;
    else if ((uint64_t)count > PTRDIFF_MAX)
        status = OCHE_ERR_OUT_OF_MEMORY; /* more than a 32-bit process can have */
    else
        status = operation_write(session, request_id, handle, count ? data + offset : NULL, (size_t)count);
    session_unlock(session);
    return status;
}

EXPORT int64_t tcp_close_write(int64_t request_id, int64_t handle)
{
    return make_request(request_id, handle, operation_close_write);
}

EXPORT int64_t tcp_close(int64_t request_id, int64_t handle)
{
    return make_request(request_id, handle, operation_close);
}

EXPORT int64_t tcp_listener_close(int64_t request_id, int64_t listener, bool force)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(listener, &status);
    if (!session)
        return status;
    status = accepting_close(session, request_id, listener, force);
    session_unlock(session);
    return status;
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
    return endpoint.address_length;
}

static int64_t get_port(int64_t handle, endpoint_getter *getter)
{
    int64_t status;
    struct endpoint endpoint;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = getter(session, handle, &endpoint);
    session_unlock(session);
    return status < 0 ? status : endpoint.port;
}

EXPORT int64_t tcp_get_local_address(int64_t handle, uint8_t *out)
{
    return get_address(handle, cached_local, out);
}

EXPORT int64_t tcp_get_remote_address(int64_t handle, uint8_t *out)
{
    return get_address(handle, cached_remote, out);
}

EXPORT int64_t tcp_get_local_port(int64_t handle)
{
    return get_port(handle, cached_local);
}

EXPORT int64_t tcp_get_remote_port(int64_t handle)
{
    return get_port(handle, cached_remote);
}

typedef int64_t flag_getter(const struct oche_session *session, int64_t handle);

static int64_t get_flag(int64_t handle, flag_getter *getter)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = getter(session, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t tcp_get_keep_alive(int64_t handle)
{
    return get_flag(handle, cached_keep_alive);
}

EXPORT int64_t tcp_get_no_delay(int64_t handle)
{
    return get_flag(handle, cached_no_delay);
}

static int64_t set_option(int64_t handle, enum options_flag flag, bool enabled)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = options_set_flag_and_wait(session, handle, flag, enabled);
    session_unlock(session);
    return status;
}

EXPORT int64_t tcp_set_keep_alive(int64_t handle, bool enabled)
{
    return set_option(handle, OPTIONS_KEEP_ALIVE, enabled);
}

EXPORT int64_t tcp_set_no_delay(int64_t handle, bool enabled)
{
    return set_option(handle, OPTIONS_NO_DELAY, enabled);
}
