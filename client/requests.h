/*
 * Requests to the daemon, one function per operation: checks what can be checked here, notes the
 * request as pending and sends its frame.
 *
 * All functions are called with the session's mutex held, and return what the public function of
 * the same name (oche.h) returns.
 */
#ifndef OCHE_CLIENT_REQUESTS_H
#define OCHE_CLIENT_REQUESTS_H

#include <oche/oche.h>

struct oche_session;
struct reading;

enum request_option { REQUEST_KEEP_ALIVE, REQUEST_NO_DELAY };

int64_t request_connect(struct oche_session *session, int64_t request_id, const struct oche_connect_options *options);
int64_t request_cancel(struct oche_session *session, int64_t request_id);
int64_t request_listen(struct oche_session *session, int64_t request_id, const struct oche_listen_options *options);
int64_t request_accept(struct oche_session *session, int64_t request_id, int64_t listener);
int64_t request_read(struct oche_session *session, int64_t request_id, int64_t handle);
/* Lets the daemon receive more for the connection, if that is due. lane_reserve() has made room for the frame. */
void request_grant(struct oche_session *session, int64_t handle, struct reading *reading);
int64_t request_write(struct oche_session *session, int64_t request_id, int64_t handle, const void *data, size_t count);
int64_t request_close_write(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t request_close(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t request_abort(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t request_listener_close(struct oche_session *session, int64_t request_id, int64_t listener, bool force);
int64_t request_set_option(struct oche_session *session, int64_t request_id, int64_t handle, enum request_option option,
                           bool enabled);
int64_t request_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics);

/* Sets the option and waits for the answer, up to five seconds, letting go of the mutex meanwhile.
 * Somebody else must be dispatching. 0, OCHE_ERR_TIMED_OUT, or the result. */
int64_t request_set_option_and_wait(struct oche_session *session, int64_t handle, enum request_option option,
                                    bool enabled);

#endif
