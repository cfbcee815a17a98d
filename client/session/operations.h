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
struct handle_entry;
struct oche_session;
struct pending_request;
struct reading;

int64_t operation_cancel(struct oche_session *session, int64_t request_id);
int64_t operation_limit(struct oche_session *session, int64_t request_id, uint32_t milliseconds);
/* `to` without an address: to the peer of the socket. */
int64_t operation_send(struct oche_session *session, int64_t request_id, int64_t handle, const struct endpoint *to,
                       const void *data, size_t count);
int64_t operation_read(struct oche_session *session, int64_t request_id, int64_t handle);
/* Lets the daemon receive more for the connection, if that is due. lane_reserve() has made room for the frame. */
void operation_grant(struct oche_session *session, int64_t handle, struct reading *reading);
int64_t operation_write(struct oche_session *session, int64_t request_id, int64_t handle, const void *data,
                        size_t count);
int64_t operation_close_write(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_close(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_abort(struct oche_session *session, int64_t request_id, int64_t handle);
int64_t operation_statistics(struct oche_session *session, int64_t request_id, struct oche_statistics *statistics);

/* The socket is closed from now on: a read that is pending on it ends with the answer to `close`, and what came
 * ahead is not wanted any more. */
void operation_forget(struct oche_session *session, struct handle_entry *entry, struct pending_request *close);

/* A request with a body that concerns a connection. 0 and *request, which is pending, and the caller's to fill in. */
int64_t operation_on_connection(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                int64_t handle, const ProtobufCMessage *message, struct pending_request **request);

#endif
