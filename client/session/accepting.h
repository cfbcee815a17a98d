/*
 * Requests to listeners. They return what oche_accept and oche_listener_close (oche.h) return, and are called with the
 * session's mutex held.
 *
 * A connection that comes for an accept whose limit is over is unclaimed: it is open, nobody knows its handle, and the
 * next accept of its listener gets it.
 */
#ifndef OCHE_CLIENT_SESSION_ACCEPTING_H
#define OCHE_CLIENT_SESSION_ACCEPTING_H

#include <stdbool.h>
#include <stdint.h>

struct oche_session;

int64_t accepting_accept(struct oche_session *session, int64_t request_id, int64_t listener);
int64_t accepting_close(struct oche_session *session, int64_t request_id, int64_t listener, bool force);

#endif
