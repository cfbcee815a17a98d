/*
 * How sessions begin and end: opened, or prepared without a daemon; then ended, and freed when their last completions
 * have been popped.
 */
#ifndef OCHE_CLIENT_SESSION_LIFECYCLE_H
#define OCHE_CLIENT_SESSION_LIFECYCLE_H

#include <oche/oche.h>

/* Opens a session for `owner`, which may be NULL; see oche_session_open(). Blocks. */
int64_t lifecycle_open(const struct oche_session_options *options, const void *owner, struct oche_session **session);

/* The same without a daemon, which the first request looks for, as after a loss. Does not block. */
int64_t lifecycle_prepare(const struct oche_session_options *options, const void *owner, struct oche_session **session);

/* Says goodbye to the daemon; what is pending completes with OCHE_ERR_CLOSED. Completions can still be popped. */
void lifecycle_end(struct oche_session *session);

/* Frees everything of a session that has ended, or of one that fork() took along; its handles stay refused. */
void lifecycle_free(struct oche_session *session);

#endif
