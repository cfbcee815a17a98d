/*
 * Requests to the daemon, one function per operation: checks what can be checked here, notes the
 * request as pending and sends its frame.
 *
 * All functions are called with the session's mutex held, and return what the public function of
 * the same name (oche.h) returns.
 */
#ifndef OCHE_CLIENT_SESSION_OPERATIONS_H
#define OCHE_CLIENT_SESSION_OPERATIONS_H

#include "proto/frame.h"

#include <oche/oche.h>
#include <protobuf-c/protobuf-c.h>

struct endpoint;
struct oche_session;
struct pending_request;
struct reading;

int64_t operation_connect(struct oche_session *session, int64_t request_id, const struct oche_connect_options *options);
int64_t operation_cancel(struct oche_session *session, int64_t request_id);
int64_t operation_limit(struct oche_session *session, int64_t request_id, uint32_t milliseconds);
int64_t operation_listen(struct oche_session *session, int64_t request_id, const struct oche_listen_options *options);
int64_t operation_datagram(struct oche_session *session, int64_t request_id,
                           const struct oche_datagram_options *options);
/* `to` without an address: to the peer of the socket. */
int64_t operation_send(struct oche_session *session, int64_t request_id, int64_t handle, const struct endpoint *to,
                       const void *data, size_t count);
int64_t operation_accept(struct oche_session *session, int64_t request_id, int64_t listener);
int64_t operation_read(struct oche_session *session, int64_t request_id, int64_t handle);
/* Lets the daemon receive more for the connection, if that is due. lane_reserve() has made room for the frame. */
void operation_grant(struct oche_session *session, int64_t handle, struct reading *reading);
int64_t operation_write(struct oche_session *session, int64_t request_id, int64_t handle, const void *data,
                        size_t count);
int64_t operation_close_write(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_close(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_abort(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_listener_close(struct oche_session *session, int64_t request_id, int64_t listener, bool force);
int64_t operation_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics);

/* A request with a body that concerns a connection. 0 and *request, which is pending, and the caller's to fill in. */
int64_t operation_on_connection(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                int64_t handle, const ProtobufCMessage *message, struct pending_request **request);

#endif
