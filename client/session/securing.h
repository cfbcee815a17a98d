/*
 * Putting TLS on a connection that is open, as STARTTLS does; and what can be asked of one that has it.
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

/* Either step was answered, or a TRUST, and nothing follows. `result`: 0, or a code. */
void securing_end(struct oche_session *session, const struct pending_request *request, int64_t result,
                  uint16_t os_error);

/* The daemon says that the certificate does not verify: nothing is read or written, until securing_trust(). */
void securing_ask(struct oche_session *session, int64_t handle);

/* As oche_trust() and oche_tls_info(). */
int64_t securing_trust(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t securing_info(struct oche_session *session, int64_t request_id, int64_t handle, int64_t item);

/* The same, waiting for the answer: the length of the item, of which nothing is copied if that is more than `room`; or
 * a code. */
int64_t securing_info_and_wait(struct oche_session *session, int64_t handle, int64_t item, uint8_t *value, size_t room);

#endif
