/*
 * Putting TLS on a connection that is open, as STARTTLS does.
 *
 * What has come ahead of the application's reads belongs to TLS, and so may what the application has read and not used.
 * So it takes two steps. PAUSE: the daemon receives nothing more, and when it says so all that it has received is here.
 * SECURE: all of that goes back to the daemon, where TLS begins with it. In the meantime nothing is read or written.
 *
 * All functions are called with the session's mutex held.
 */
#ifndef OCHE_CLIENT_SESSION_SECURING_H
#define OCHE_CLIENT_SESSION_SECURING_H

#include <oche/oche.h>

struct pending_request;

/* As oche_secure() (oche.h). */
int64_t securing_begin(struct oche_session *session, int64_t request_id, int64_t handle,
                       const struct oche_secure_options *options);

/* The connection is paused: the request goes on as a SECURE. False: no memory, and it has to fail. */
bool securing_go_on(struct oche_session *session, struct pending_request *request);

/* Either step was answered, and nothing follows. `result`: 0, or a code. */
void securing_end(struct oche_session *session, const struct pending_request *request, int64_t result,
                  uint16_t os_error);

#endif
