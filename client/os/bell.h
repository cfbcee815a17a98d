/*
 * A bell: an eventfd that wakes whoever polls it. Any number of rings before it is silenced are one.
 */
#ifndef OCHE_CLIENT_OS_BELL_H
#define OCHE_CLIENT_OS_BELL_H

/* A descriptor that is the caller's, non-blocking and closed by exec; or a negative errno. */
int bell_new(void);

/* Never blocks: eventfd(2) refuses only the ring that would overflow its counter of 64 bits. */
void bell_ring(int fd);

/* The bell was heard, and is not readable any more. */
void bell_silence(int fd);

#endif
