/*
 * The settings of TLS contexts, on their way to the daemon.
 */
#ifndef OCHE_CLIENT_SESSION_TLS_SETTINGS_H
#define OCHE_CLIENT_SESSION_TLS_SETTINGS_H

#include <oche/oche.h>

/* See oche_tls_context() and oche_tls_replace(). The session's mutex is held. */
int64_t tls_settings_open(struct oche_session *session, int64_t request_id, const struct oche_tls_options *options);
int64_t tls_settings_replace(struct oche_session *session, int64_t request_id, int64_t handle,
                             const struct oche_tls_options *options);

#endif
