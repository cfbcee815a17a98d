/*
 * A frame of a client, on its way from the gate to the handler of its operation, and back.
 */
#ifndef OCHE_DAEMON_OPERATIONS_CALL_H
#define OCHE_DAEMON_OPERATIONS_CALL_H

#include "daemon/operations/body.h"
#include "daemon/session/request.h"
#include "proto/errors.h"

struct lane_message;
struct session;
struct socket;

struct call {
    struct session *session;
    struct lane_message *message;
    struct request request;
    struct socket *socket; /* that the frame names; NULL if the row does not ask for one */
    int os_error;          /* to go with a negative code */
};

/* What a handler returns: 0, the request is completed or held; a negative code, with which it is to be completed; or
 * this, the frame is none that a correct client sends. */
enum { CALL_MALFORMED = 1 };

/* What a handler returns whose body could not be unpacked. */
static inline int call_unpack_fault(const struct body_memory *memory)
{
    return memory->was_short ? OCHE_ERR_OUT_OF_MEMORY : CALL_MALFORMED;
}

#endif
