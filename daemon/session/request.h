/*
 * A request of a client, and the one place where requests complete.
 *
 * The gate (daemon/operations/operations.h) makes a request of each frame that wants an answer. An operation that is
 * done at once completes it there. One that has to wait for the network holds it: the object that waits keeps the
 * request, the user's account is charged for it, and the session lists it. A held request is completed exactly once,
 * with request_complete(), or it is dropped because its client is gone and nobody would read the answer.
 *
 * A write that comes in several frames is several requests, of which only the last one is answered.
 */
#ifndef OCHE_DAEMON_SESSION_REQUEST_H
#define OCHE_DAEMON_SESSION_REQUEST_H

#include "daemon/engine/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoints;
struct frame;
struct request;
struct session;

/* Ends what a held request waits for, because the client has cancelled it, and completes it: as a rule with CLOSED and
 * ECANCELED. It may also complete later, as if nothing had happened, when it is too late to end it. NULL in a request:
 * it cannot be cancelled. */
typedef void request_cancel(struct request *request);

struct request {
    struct list node; /* in session->requests while it is held; in no list otherwise */
    struct session *session;
    request_cancel *cancel;
    int64_t id;      /* the client's, for the answer */
    uint16_t opcode; /* enum frame_opcode */
    uint16_t flags;  /* of the frame that asked: FRAME_QUIET is in the answer, too; FRAME_MORE: there is no answer */
    bool held;
};

/* The request that `frame` makes. Nothing is charged yet. */
void request_init(struct request *request, struct session *session, const struct frame *frame);

/* Moves the request to where it waits, and charges the user for it. 0, or the code with which it is to be answered. */
int request_hold(struct request *request, struct request *place, request_cancel *cancel);

/* The same for what must not fail: the user's limit may be exceeded. */
void request_hold_anyway(struct request *request, struct request *place, request_cancel *cancel);

/* Answers, and gives back what was charged. When memory for the answer is short the session ends, and with it all of
 * its sockets. */
void request_complete(struct request *request, int64_t value, int os_error);

/* The same with a sentence that says why; of which there is as much as fits. */
void request_complete_with_words(struct request *request, int64_t value, int os_error, const char *why);

/* The same for a request that has made a socket, of which the answer tells the ends. `why` may be NULL. */
void request_complete_with_socket(struct request *request, int64_t handle, const struct endpoints *endpoints,
                                  const char *why);

/* The same with bytes, whose count is the value. */
void request_complete_with_bytes(struct request *request, const void *bytes, size_t count);

/* Gives back what was charged, and answers nothing. */
void request_drop(struct request *request);

/* The request that the session holds under this id, and that can be cancelled. Of a write in several frames it is the
 * last one, and none before that has come. NULL: there is none. */
struct request *request_find(struct session *session, int64_t id);

#endif
