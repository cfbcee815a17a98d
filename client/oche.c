/*
 * oche.h without Dart. Each function takes the mutex of the session, which the layers below expect to be held, and
 * calls the function of the same name there. The layers below know the structs of this version only; what they get from
 * the caller, and what the caller gets from them, is translated here.
 */
#include "client/export.h"
#include "client/os/diagnostics.h"
#include "client/session/accepting.h"
#include "client/session/attachment.h"
#include "client/session/cached.h"
#include "client/session/dispatch.h"
#include "client/session/lifecycle.h"
#include "client/session/opening.h"
#include "client/session/operations.h"
#include "client/session/options.h"
#include "client/session/public_struct.h"
#include "client/session/securing.h"
#include "client/session/session.h"
#include "client/session/tls_settings.h"
#include "proto/errors.h"
#include "proto/version.h"

#include <string.h>

EXPORT const char *oche_version(void)
{
    return OCHE_VERSION;
}

EXPORT const char *oche_error_name(int64_t code)
{
    return oche_errors_name(code);
}

EXPORT const char *oche_error_text(int64_t code)
{
    return oche_errors_text(code);
}

EXPORT const char *oche_last_error(void)
{
    return diagnostics_last();
}

EXPORT int64_t oche_session_open(const struct oche_session_options *options, oche_session **session)
{
    struct oche_session_options known = {.size = sizeof known};
    if (options && !public_struct_take(&known, sizeof known, options,
                                       PUBLIC_STRUCT_UNTIL(struct oche_session_options, arena_size))) {
        *session = NULL;
        diagnostics_fail(
            0, "the size of struct oche_session_options is not set, or options are set that this version, " OCHE_VERSION
               ", does not have");
        return OCHE_ERR_INVALID_ARGUMENT;
    }
    return lifecycle_open(&known, NULL, session);
}

EXPORT void oche_session_close(oche_session *session)
{
    if (!session)
        return;
    session_lock(session);
    bool closed = session->state == SESSION_CLOSED; /* by a fork, in the child */
    session_unlock(session);
    if (closed)
        return;
    lifecycle_end(session);
    lifecycle_free(session);
}

EXPORT int oche_session_get_fd(const oche_session *session)
{
    return session_fd(session);
}

EXPORT int64_t oche_session_dispatch(oche_session *session)
{
    return dispatch_run(session);
}

EXPORT int64_t oche_session_reopen(oche_session *session)
{
    return attachment_renew(session);
}

EXPORT bool oche_session_pop(oche_session *session, struct oche_completion *completion)
{
    const size_t least = PUBLIC_STRUCT_UNTIL(struct oche_completion, os_error);
    struct oche_completion known;
    if (!dispatch_pop(session, &known))
        return false;
    /* What has completed must not get lost, and there is no way to say that the size is missing. */
    if (completion->size < least)
        completion->size = least;
    public_struct_give(completion, &known, sizeof known, least);
    return true;
}

EXPORT void oche_data_free(void *data_owner)
{
    lane_free_data(data_owner);
}

EXPORT int64_t oche_connect(oche_session *session, int64_t request_id, const struct oche_connect_options *options)
{
    struct oche_connect_options known;
    if (!options || !public_struct_take(&known, sizeof known, options,
                                        PUBLIC_STRUCT_UNTIL(struct oche_connect_options, source_scope_id)))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = opening_connect(session, request_id, &known);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_cancel(oche_session *session, int64_t request_id)
{
    session_lock(session);
    int64_t status = operation_cancel(session, request_id);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_limit(oche_session *session, int64_t request_id, uint32_t milliseconds)
{
    session_lock(session);
    int64_t status = operation_limit(session, request_id, milliseconds);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_listen(oche_session *session, int64_t request_id, const struct oche_listen_options *options)
{
    struct oche_listen_options known;
    if (!options ||
        !public_struct_take(&known, sizeof known, options, PUBLIC_STRUCT_UNTIL(struct oche_listen_options, durable)))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = opening_listen(session, request_id, &known);
    session_unlock(session);
    return status;
}

static int64_t give_endpoint(struct oche_endpoint *to, const struct endpoint *from)
{
    struct oche_endpoint known = {
        .address_length = from->address_length,
        .port = from->port,
        .scope_id = from->scope_id,
    };
    memcpy(known.address, from->address, sizeof known.address);
    bool given = public_struct_give(to, &known, sizeof known, PUBLIC_STRUCT_UNTIL(struct oche_endpoint, scope_id));
    return given ? 0 : OCHE_ERR_INVALID_ARGUMENT;
}

static bool take_tls_options(struct oche_tls_options *known, const struct oche_tls_options *options)
{
    const size_t least = PUBLIC_STRUCT_UNTIL(struct oche_tls_options, groups);
    return options && public_struct_take(known, sizeof *known, options, least);
}

EXPORT int64_t oche_tls_context(oche_session *session, int64_t request_id, const struct oche_tls_options *options)
{
    struct oche_tls_options known;
    if (!take_tls_options(&known, options))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = tls_settings_open(session, request_id, &known);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_tls_replace(oche_session *session, int64_t request_id, int64_t context,
                                const struct oche_tls_options *options)
{
    struct oche_tls_options known;
    if (!take_tls_options(&known, options))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = tls_settings_replace(session, request_id, context, &known);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_trust(oche_session *session, int64_t request_id, int64_t handle)
{
    session_lock(session);
    int64_t status = securing_trust(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_tls_info(oche_session *session, int64_t request_id, int64_t handle, enum oche_tls_item item)
{
    session_lock(session);
    int64_t status = securing_info(session, request_id, handle, (int64_t)item);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_secure(oche_session *session, int64_t request_id, int64_t handle,
                           const struct oche_secure_options *options)
{
    struct oche_secure_options known;
    if (!options || !public_struct_take(&known, sizeof known, options,
                                        PUBLIC_STRUCT_UNTIL(struct oche_secure_options, unread_length)))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = securing_begin(session, request_id, handle, &known);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_datagram(oche_session *session, int64_t request_id, const struct oche_datagram_options *options)
{
    struct oche_datagram_options known;
    if (!options || !public_struct_take(&known, sizeof known, options,
                                        PUBLIC_STRUCT_UNTIL(struct oche_datagram_options, peer_scope_id)))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = opening_datagram(session, request_id, &known);
    session_unlock(session);
    return status;
}

/* False: the size of *from is not set, or it is no address. */
static bool take_endpoint(struct endpoint *to, const struct oche_endpoint *from)
{
    struct oche_endpoint known;
    if (!public_struct_take(&known, sizeof known, from, PUBLIC_STRUCT_UNTIL(struct oche_endpoint, scope_id)))
        return false;
    *to = (struct endpoint){
        .address_length = (uint8_t)known.address_length,
        .port = known.port,
        .scope_id = known.scope_id,
    };
    memcpy(to->address, known.address, sizeof to->address);
    return known.address_length == 4 || known.address_length == 16;
}

EXPORT int64_t oche_send(oche_session *session, int64_t request_id, int64_t handle, const struct oche_endpoint *to,
                         const void *data, size_t count)
{
    struct endpoint known = {0};
    if (to && !take_endpoint(&known, to))
        return OCHE_ERR_INVALID_ARGUMENT;
    session_lock(session);
    int64_t status = operation_send(session, request_id, handle, &known, data, count);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_data_source(const void *data_owner, struct oche_endpoint *endpoint)
{
    const struct data *data = data_owner;
    struct endpoint source;
    if (!data || !data->datagram || !endpoint_decode(&source, data->bytes, data->length))
        return OCHE_ERR_INVALID_ARGUMENT;
    return give_endpoint(endpoint, &source);
}

EXPORT int64_t oche_accept(oche_session *session, int64_t request_id, int64_t listener)
{
    session_lock(session);
    int64_t status = accepting_accept(session, request_id, listener);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_read(oche_session *session, int64_t request_id, int64_t handle)
{
    session_lock(session);
    int64_t status = operation_read(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_write(oche_session *session, int64_t request_id, int64_t handle, const void *data, size_t count)
{
    session_lock(session);
    int64_t status = operation_write(session, request_id, handle, data, count);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_close_write(oche_session *session, int64_t request_id, int64_t handle)
{
    session_lock(session);
    int64_t status = operation_close_write(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_close(oche_session *session, int64_t request_id, int64_t handle)
{
    session_lock(session);
    int64_t status = operation_close(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_abort(oche_session *session, int64_t request_id, int64_t handle)
{
    session_lock(session);
    int64_t status = operation_abort(session, request_id, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_listener_close(oche_session *session, int64_t request_id, int64_t listener, bool force)
{
    session_lock(session);
    int64_t status = accepting_close(session, request_id, listener, force);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_set_keep_alive(oche_session *session, int64_t request_id, int64_t handle, bool enabled)
{
    session_lock(session);
    int64_t status = options_set_flag(session, request_id, handle, OPTIONS_KEEP_ALIVE, enabled);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_set_no_delay(oche_session *session, int64_t request_id, int64_t handle, bool enabled)
{
    session_lock(session);
    int64_t status = options_set_flag(session, request_id, handle, OPTIONS_NO_DELAY, enabled);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_set_option(oche_session *session, int64_t request_id, int64_t handle, int level, int name,
                               const void *value, size_t size)
{
    const struct options_raw option = {
        .level = level,
        .name = name,
        .value = (void *)(uintptr_t)value, /* which is only read */
        .size = size,
    };
    session_lock(session);
    int64_t status = options_set(session, request_id, handle, &option);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_get_option(oche_session *session, int64_t request_id, int64_t handle, int level, int name,
                               void *value, size_t size)
{
    const struct options_raw option = {.level = level, .name = name, .value = value, .size = size};
    session_lock(session);
    int64_t status = options_get(session, request_id, handle, &option);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_get_statistics(oche_session *session, int64_t request_id, struct oche_statistics *statistics)
{
    session_lock(session);
    int64_t status = operation_statistics(session, request_id, statistics);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_get_local(oche_session *session, int64_t handle, struct oche_endpoint *endpoint)
{
    struct endpoint local;
    session_lock(session);
    int64_t status = cached_local(session, handle, &local);
    session_unlock(session);
    return status < 0 ? status : give_endpoint(endpoint, &local);
}

EXPORT int64_t oche_get_remote(oche_session *session, int64_t handle, struct oche_endpoint *endpoint)
{
    struct endpoint remote;
    session_lock(session);
    int64_t status = cached_remote(session, handle, &remote);
    session_unlock(session);
    return status < 0 ? status : give_endpoint(endpoint, &remote);
}

EXPORT int64_t oche_get_keep_alive(oche_session *session, int64_t handle)
{
    session_lock(session);
    int64_t status = cached_keep_alive(session, handle);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_get_no_delay(oche_session *session, int64_t handle)
{
    session_lock(session);
    int64_t status = cached_no_delay(session, handle);
    session_unlock(session);
    return status;
}
