#include "client/session/backoff.h"

static void wait_longer(struct backoff *backoff)
{
    int64_t pause = backoff->pause ? backoff->pause * 2 : BACKOFF_PAUSE_FIRST;
    backoff->pause = pause < BACKOFF_PAUSE_LAST ? pause : BACKOFF_PAUSE_LAST;
}

void backoff_found(struct backoff *backoff, int64_t now)
{
    backoff->found_at = now;
}

void backoff_lost(struct backoff *backoff, int64_t now)
{
    backoff->lost_at = now;
    if (now - backoff->found_at >= BACKOFF_STEADY)
        backoff->pause = 0;
    else
        wait_longer(backoff);
}

bool backoff_failed(struct backoff *backoff, int64_t now)
{
    wait_longer(backoff);
    return now - backoff->lost_at < BACKOFF_LIMIT;
}
