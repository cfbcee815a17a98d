/*
 * A bell: an eventfd that somebody else writes to, or the end of a pipe.
 */
#ifndef OCHE_DAEMON_ENGINE_ENGINE_BELL_H
#define OCHE_DAEMON_ENGINE_ENGINE_BELL_H

struct engine;
struct engine_bell;

/* `rung` runs in the loop after the bell was rung, once or more often. Takes over `fd`, non-blocking. NULL: out of
 * memory, and the descriptor stays the caller's. */
struct engine_bell *engine_bell_new(struct engine *engine, int fd, void (*rung)(void *owner), void *owner);
/* Closes the descriptor. Not from within `rung`. NULL is fine. */
void engine_bell_free(struct engine_bell *bell);

#endif
