/*
 * Completions that wait to be popped, oldest first.
 *
 * Whoever makes a request first reserves the place of its completion. So a request that was
 * accepted can always complete, also when memory has run out since.
 */
#ifndef OCHE_CLIENT_SESSION_COMPLETIONS_H
#define OCHE_CLIENT_SESSION_COMPLETIONS_H

#include <oche/oche.h>
#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty queue. A ring: the length is `count`, the oldest is at `first`. */
struct completions {
    struct oche_completion *ring;
    size_t capacity; /* 0 or a power of two */
    size_t first;
    size_t count;
};

/* Frees the data of what is queued, too, without a word to the daemon. */
void completions_deinit(struct completions *completions);

/* Makes room for `room` pushes. False: no memory. */
bool completions_reserve(struct completions *completions, size_t room);

/* There must be room. The data belongs to the queue now. */
void completions_push(struct completions *completions, const struct oche_completion *completion);

/* False: the queue is empty. */
bool completions_pop(struct completions *completions, struct oche_completion *completion);

#endif
