/*
 * What a session can be asked to do: a table with a row for each opcode, and the gate that every frame passes on its
 * way there.
 *
 * The gate asks in a fixed order: may this client say this now (direction, state), has the frame the shape that its
 * opcode calls for (handle, body, payload), is there such a socket. Then the row's handler decodes the body, checks
 * arguments and limits, and does it. Another protocol is another set of rows.
 */
#ifndef OCHE_DAEMON_OPERATIONS_OPERATIONS_H
#define OCHE_DAEMON_OPERATIONS_OPERATIONS_H

#include "daemon/lane/lane.h"

struct session;

/* Takes over the payload. The session may have ended afterwards. */
void operations_handle(struct session *session, struct lane_message *message);

#endif
