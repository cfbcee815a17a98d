/*
 * What fork() means: the child has no sessions. Their connections and posters are the parent's,
 * which goes on undisturbed.
 */
#ifndef OCHE_CLIENT_FORKING_H
#define OCHE_CLIENT_FORKING_H

/* Has the process prepared for forks from now on. Call it before the first session is opened;
 * idempotent. Returns 0 or -ENOMEM. */
int forking_prepare(void);

#endif
