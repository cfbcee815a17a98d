/*
 * Which isolate has which poster, and through it, which session.
 *
 * A poster that is found stays what it is for as long as the lock is held: nobody frees one that is
 * still registered. Lock order: this one, then that of a session.
 *
 * The VM is never asked anything with the lock held: it may stop the thread there until another one has ended its
 * isolate, which takes this lock too (oche_isolate_release).
 */
#ifndef OCHE_CLIENT_PORT_ISOLATES_H
#define OCHE_CLIENT_PORT_ISOLATES_H

#include "client/port/dart_port.h"

#include <stdbool.h>

struct oche_session;
struct poster;

/* Makes the session and the poster of the current isolate, in the place of those that it had with another port. Opens
 * the session, as tcp_init(), or leaves that to the poster, as oche_isolate_open(). 0 or what these return. */
int64_t isolates_begin(void *dart_api_dl_data, int64_t port, bool opens);

/* The poster of the isolate, locked until isolates_unlock(); NULL, and nothing locked, if there is
 * none. */
struct poster *isolates_lock(struct dart_isolate isolate);
void isolates_unlock(void);

/* Unregisters and returns the poster of the isolate, NULL if there is none. */
struct poster *isolates_take(struct dart_isolate isolate);

/* Unregisters and returns the poster with this number, NULL if there is none any more. */
struct poster *isolates_take_numbered(uint64_t number);

/* The session of an isolate that the handle names, locked; or NULL and *refusal. */
struct oche_session *isolates_lock_session(int64_t handle, int64_t *refusal);

#endif
