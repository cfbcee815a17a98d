/*
 * The life of a request.
 *
 * It begins with all that it can ever need: room in the lane for its frame, a place for its completion, and a slot
 * among those that are pending (pending.h). So whatever runs out later, each request completes, and once. Between the
 * two it may be sent again, to another daemon; it may be cancelled; and its limit may be over.
 *
 * To cancel a request is to ask the daemon, whose answer completes it. A request whose limit is over does not wait for
 * that: it has completed for the application, but not for the daemon, and stays pending, cancelled, until the daemon
 * answers. If that answer is a connection that was made, or a listener, the request goes on as one that closes it. A
 * connection that was accepted is not closed, for its peer may be in the middle of a word: the accept that has waited
 * longest gets it, or the next one.
 *
 * All functions are called with the session's mutex held.
 */
#ifndef OCHE_CLIENT_SESSION_REQUEST_H
#define OCHE_CLIENT_SESSION_REQUEST_H

#include "client/lane/lane_message.h"
#include "client/session/pending.h"

#include <oche/oche.h>

struct oche_session;

/* A request with so many bytes of body and payload. NULL: no memory, and nothing has changed. */
struct pending_request *request_begin(struct oche_session *session, enum frame_opcode opcode, int64_t request_id,
                                      int64_t handle, size_t body_length, size_t count);

/* The same for one that may have to be sent again, to another daemon: its body is kept. */
struct pending_request *request_begin_repeatable(struct oche_session *session, enum frame_opcode opcode,
                                                 int64_t request_id, const uint8_t *body, size_t body_length);

/* One of the library's own, of which the application does not hear. It reserves nothing. */
struct pending_request *request_begin_internal(struct oche_session *session, enum frame_opcode opcode, int64_t handle);

/* When what is sent now should leave: see the definition. */
enum lane_urgency request_urgency(const struct oche_session *session);

/* Sends the frame of a request. If the session is lost, somebody is asked to find a daemon for it. */
void request_send(struct oche_session *session, const struct pending_request *request, const uint8_t *body,
                  size_t body_length);

/* The same with a payload. */
void request_send_all(struct oche_session *session, const struct pending_request *request, const uint8_t *body,
                      size_t body_length, const void *payload, size_t count);

/* Queues a request that goes along to another daemon. False: no memory. */
bool request_send_again(struct oche_session *session, const struct pending_request *request);

/* A request has so many milliseconds from now on; 0: as many as it takes. */
void request_limit(struct oche_session *session, struct pending_request *request, uint32_t milliseconds);

/* The limit of a request is over: tells the application, and the daemon if there is memory for that. */
void request_time_out(struct oche_session *session, struct pending_request *request);

/* A request is not wanted any more: tells the daemon, whose answer completes it; what the daemon does not know of
 * completes at once. 0, OCHE_ERR_OUT_OF_MEMORY, or OCHE_ERR_INVALID_ARGUMENT: it is of a kind that does not wait. */
int64_t request_cancel(struct oche_session *session, struct pending_request *request);

/* Whether the socket that a request has made is wanted no more, and has to be closed with request_close_late(). */
bool request_is_unwanted(const struct oche_session *session, const struct pending_request *request);

/* The request goes on as one that closes the socket with that handle. False: no memory. */
bool request_close_late(struct oche_session *session, struct pending_request *request, int64_t wire);

/* An ACCEPT whose limit is over has brought a connection after all. If another one waits on the listener, the two
 * change places: what was brought is for that one, and nobody waits for what the daemon still owes to it. */
void request_pass_on(struct oche_session *session, struct pending_request *request);

/* Completes a request: tells who waits for it, or queues a completion; then the request is no more. `completion` has
 * the result, the errno and the data, which is taken over. */
void request_complete(struct oche_session *session, struct pending_request *request,
                      struct oche_completion *completion);

/* Completes all requests with that result. */
void request_end_all(struct oche_session *session, int64_t result);

#endif
