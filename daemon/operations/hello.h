/*
 * How a session begins: what HELLO says, and whether the client is let in, on which lane, with what.
 */
#ifndef OCHE_DAEMON_OPERATIONS_HELLO_H
#define OCHE_DAEMON_OPERATIONS_HELLO_H

#include <stdbool.h>
#include <stdint.h>

struct frame;
struct session;

/* Answers a HELLO, which may end the session. False: its body cannot be decoded, and nothing is answered. */
bool hello_take(struct session *session, const struct frame *frame, const uint8_t *body);

#endif
