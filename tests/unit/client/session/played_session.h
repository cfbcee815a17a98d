/*
 * A session of the client on the plain lane whose daemon, and whose time, are played by a test.
 *
 * In C, because the session's shared memory is: tests see no atomics. The application's part are the functions of
 * oche.h.
 */
#ifndef OCHE_TESTS_UNIT_CLIENT_SESSION_PLAYED_SESSION_H
#define OCHE_TESTS_UNIT_CLIENT_SESSION_PLAYED_SESSION_H

#include "proto/frame.h"

#include <oche/oche.h>

struct played_session;

/* NULL: something is not to be had. */
struct played_session *played_session_new(bool with_heartbeat);
void played_session_free(struct played_session *played);

oche_session *played_session_get(struct played_session *played);

/* Requests that the session still has. */
unsigned played_session_pending(const struct played_session *played);

/* The daemon. True: a frame came from the client; its body is dropped. */
bool played_session_take(struct played_session *played, struct frame *frame);

/* Sends a frame with a payload of frame->payload_length bytes, and lets the session take it. 0, or what
 * oche_session_dispatch returned. */
int64_t played_session_say(struct played_session *played, const struct frame *frame, const void *payload);

/* Goes on to the time when the session next has something to do. True: the daemon is to be lost. */
bool played_session_tick(struct played_session *played);

/* The milliseconds until then; -1: there is no such time. */
int64_t played_session_due_in(const struct played_session *played);

#endif
