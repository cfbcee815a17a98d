/*
 * Requests that read and set the options of a connection.
 *
 * As in operations.h, all functions are called with the session's mutex held. Those that wait let go of it meanwhile,
 * for five seconds at most; somebody else must be dispatching. Then they return the result of the request, or
 * OCHE_ERR_TIMED_OUT.
 */
#ifndef OCHE_CLIENT_SESSION_OPTIONS_H
#define OCHE_CLIENT_SESSION_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oche_session;

/* SO_KEEPALIVE and TCP_NODELAY, which have getters. */
enum options_flag { OPTIONS_KEEP_ALIVE, OPTIONS_NO_DELAY };

int64_t options_set_flag(struct oche_session *session, int64_t request_id, int64_t handle, enum options_flag flag,
                         bool enabled);
int64_t options_set_flag_and_wait(struct oche_session *session, int64_t handle, enum options_flag flag, bool enabled);

/* An option by the system's numbers, as setsockopt() and getsockopt() have it. */
struct options_raw {
    int32_t level;
    int32_t name;
    void *value; /* to set, where it is only read; or where to put it, until the request has completed */
    size_t size;
};

int64_t options_set(struct oche_session *session, int64_t request_id, int64_t handle, const struct options_raw *option);
int64_t options_get(struct oche_session *session, int64_t request_id, int64_t handle, const struct options_raw *option);

/* The same, and *os_error. */
int64_t options_set_and_wait(struct oche_session *session, int64_t handle, const struct options_raw *option,
                             int32_t *os_error);
int64_t options_get_and_wait(struct oche_session *session, int64_t handle, const struct options_raw *option,
                             int32_t *os_error);

#endif
