/*
 * How long to wait before a daemon that was lost is looked for again, and when to give that up.
 *
 * At once as a rule. A daemon that dies soon after it was found, or one that cannot be found, is waited for, twice as
 * long each time: whatever kills one daemon after the other must not keep the machine busy with starting them.
 *
 * Times are milliseconds of a clock that the caller reads.
 */
#ifndef OCHE_CLIENT_SESSION_BACKOFF_H
#define OCHE_CLIENT_SESSION_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKOFF_PAUSE_FIRST = 10,
    BACKOFF_PAUSE_LAST = 1000,
    BACKOFF_STEADY = 1000, /* a daemon that has lived for so long is looked for at once when it is lost */
    BACKOFF_LIMIT = 10000, /* without a daemon, from when it was lost */
};

/* All zero at first. */
struct backoff {
    int64_t found_at;
    int64_t lost_at;
    int64_t pause; /* before the next attempt */
};

void backoff_found(struct backoff *backoff, int64_t now);
void backoff_lost(struct backoff *backoff, int64_t now);

/* An attempt to find a daemon has failed. False: it is time to give up. */
bool backoff_failed(struct backoff *backoff, int64_t now);

#endif
