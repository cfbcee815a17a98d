/*
 * What can be asked of a handle without asking the daemon. The session's mutex is held.
 */
#ifndef OCHE_CLIENT_SESSION_CACHED_H
#define OCHE_CLIENT_SESSION_CACHED_H

#include "proto/endpoints.h"

#include <stdint.h>

struct oche_session;

/* 0 and *endpoint, or OCHE_ERR_INVALID_HANDLE. A listener has no remote end. */
int64_t cached_local(const struct oche_session *session, int64_t handle, struct endpoint *endpoint);
int64_t cached_remote(const struct oche_session *session, int64_t handle, struct endpoint *endpoint);

/* Of a connection: 0 or 1, or OCHE_ERR_INVALID_HANDLE. */
int64_t cached_keep_alive(const struct oche_session *session, int64_t handle);
int64_t cached_no_delay(const struct oche_session *session, int64_t handle);

#endif
