/*
 * Requests to the daemon, one function per operation: checks what can be checked here, notes the
 * request as pending and sends its frame.
 *
 * All functions are called with the session's mutex held, and return what the public function of
 * the same name (oche.h) returns.
 */
#ifndef OCHE_CLIENT_REQUESTS_H
#define OCHE_CLIENT_REQUESTS_H

#include "proto/frame.h"

#include <oche/oche.h>
#include <protobuf-c/protobuf-c.h>

struct oche_session;
struct pending_request;
struct reading;

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
int64_t request_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics);

/* A request with a body that concerns a connection. 0 and *request, which is pending, and the caller's to fill in. */
int64_t request_on_connection(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                              int64_t handle, const ProtobufCMessage *message, struct pending_request **request);

#endif
