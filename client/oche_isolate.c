/* What oche.h has for isolates of a Dart VM, beyond the contract. */
#include <oche/oche.h>

#include "client/contract.h"
#include "client/export.h"
#include "client/isolates.h"
#include "client/poster.h"
#include "client/requests.h"
#include "client/session.h"
#include "proto/errors.h"

#include <limits.h>
#include <stdlib.h>

EXPORT int64_t oche_isolate_enable(int64_t features)
{
    const int64_t known = OCHE_FEATURE_ERROR_DETAIL | OCHE_FEATURE_BATCHED_POSTS | OCHE_FEATURE_QUIET_WRITES |
                          OCHE_FEATURE_ENDPOINTS;
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status = features & ~known ? OCHE_ERR_INVALID_ARGUMENT : 0;
    if (status == 0) {
        atomic_store(&poster->features, features);
        session_lock(poster->session);
        poster->session->quiet_writes = features & OCHE_FEATURE_QUIET_WRITES;
        poster->session->brings_endpoints = features & OCHE_FEATURE_ENDPOINTS;
        session_unlock(poster->session);
    }
    isolates_unlock();
    return status;
}

EXPORT int64_t oche_isolate_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port,
                                    const uint8_t *source_addr, int64_t source_addr_len, int64_t source_port,
                                    int64_t timeout_ms)
{
    struct poster *poster = isolates_lock(dart_port_current_isolate());
    if (!poster)
        return OCHE_ERR_NOT_INITIALIZED;
    int64_t status;
    if (!contract_is_length(addr_len) || (source_addr_len != 0 && !contract_is_length(source_addr_len))) {
        status = OCHE_ERR_INVALID_ADDRESS;
    } else if (!contract_is_port(port) || !contract_is_port(source_port) || timeout_ms < 0 || timeout_ms > UINT32_MAX) {
        status = OCHE_ERR_INVALID_ARGUMENT;
    } else {
        struct oche_connect_options options = {
            .address = addr,
            .address_length = (size_t)addr_len,
            .port = (uint16_t)port,
            .source_address = source_addr,
            .source_address_length = (size_t)source_addr_len,
            .source_port = (uint16_t)source_port,
            .timeout_ms = (uint32_t)timeout_ms,
        };
        session_lock(poster->session);
        status = request_connect(poster->session, request_id, &options);
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
    if (!contract_is_length(addr_len)) {
        status = OCHE_ERR_INVALID_ADDRESS;
    } else if (!contract_is_port(port)) {
        status = OCHE_ERR_INVALID_ARGUMENT;
    } else {
        struct oche_listen_options options = {
            .address = addr,
            .address_length = (size_t)addr_len,
            .port = (uint16_t)port,
            .v6_only = v6_only,
            .backlog = backlog < 0         ? 0
                       : backlog > INT_MAX ? INT_MAX
                                           : (uint32_t)backlog,
            .shared = shared,
            .durable = durable,
        };
        session_lock(poster->session);
        status = request_listen(poster->session, request_id, &options);
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
    int64_t status = request_cancel(poster->session, request_id);
    session_unlock(poster->session);
    isolates_unlock();
    return status;
}

static int64_t set_option(int64_t request_id, int64_t handle, enum request_option option, bool enabled)
{
    int64_t status;
    struct oche_session *session = isolates_lock_session(handle, &status);
    if (!session)
        return status;
    status = request_set_option(session, request_id, handle, option, enabled);
    session_unlock(session);
    return status;
}

EXPORT int64_t oche_isolate_set_keep_alive(int64_t request_id, int64_t handle, bool enabled)
{
    return set_option(request_id, handle, REQUEST_KEEP_ALIVE, enabled);
}

EXPORT int64_t oche_isolate_set_no_delay(int64_t request_id, int64_t handle, bool enabled)
{
    return set_option(request_id, handle, REQUEST_NO_DELAY, enabled);
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
