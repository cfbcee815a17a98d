/*
 * All sessions of the process, by the index that public handles carry; and what fork() means for them: the child has no
 * sessions. Their connections and posters are the parent's, which goes on undisturbed.
 *
 * A session structure that was made once stays for good; closed ones are used again, the one closed
 * longest ago first, so that an index rests before it returns with its next generation.
 */
#ifndef OCHE_CLIENT_SESSION_SESSIONS_H
#define OCHE_CLIENT_SESSION_SESSIONS_H

#include <stdint.h>

struct oche_session;

/* A closed session with index and mutex, the rest zero but for the generation and the owner it had.
 * NULL: no memory, or too many. */
struct oche_session *sessions_take(void);

/* Gives a closed session back. */
void sessions_put(struct oche_session *session);

/* The session with the index in the handle's tag, open or closed; NULL if there never was one.
 * Takes no lock. */
struct oche_session *sessions_of_handle(int64_t handle);

/* Forgets that closed sessions served this isolate: it has a new one. */
void sessions_disown(const void *owner);

/* Has the process prepared for forks from now on, which sessions_take() does by itself. Idempotent. Who has handlers of
 * fork() that hold locks around those of the sessions calls this before it registers them. Returns 0 or -ENOMEM. */
int sessions_prepare_forks(void);

#endif
