/*
 * The seconds after the question are not read from a clock but counted in ticks, each of which comes when the session
 * is dispatched, after all that had come from the daemon was taken. A client that was stopped itself, or that is slow,
 * sees one late tick, and not four: it never takes a daemon for lost that had no time to answer.
 */
#include "client/session/heartbeat.h"

void heartbeat_begin(struct heartbeat *heartbeat)
{
    *heartbeat = (struct heartbeat){.state = HEARTBEAT_RESTING, .silence = HEARTBEAT_SILENCE};
}

void heartbeat_see(struct heartbeat *heartbeat, uint32_t taken)
{
    if (taken != heartbeat->taken)
        heartbeat_hear(heartbeat);
    heartbeat->taken = taken;
}

void heartbeat_watch(struct heartbeat *heartbeat, int64_t now)
{
    heartbeat->silence = HEARTBEAT_SILENCE;
    if (heartbeat->state == HEARTBEAT_ASKED)
        return; /* the question goes for the new request, too */
    heartbeat->state = HEARTBEAT_WATCHING;
    heartbeat->heard = false;
    heartbeat->due = now + HEARTBEAT_MOMENT;
}

static int64_t longer(int64_t silence)
{
    return silence < HEARTBEAT_SILENCE_MAX / 2 ? silence * 2 : HEARTBEAT_SILENCE_MAX;
}

enum heartbeat_verdict heartbeat_tick(struct heartbeat *heartbeat, int64_t now, bool owed)
{
    if (!owed) {
        heartbeat->state = HEARTBEAT_RESTING;
        heartbeat->due = 0;
        return HEARTBEAT_FINE;
    }
    if (heartbeat->heard) {
        if (heartbeat->state == HEARTBEAT_ASKED)
            heartbeat->silence = longer(heartbeat->silence);
        heartbeat->state = HEARTBEAT_WATCHING;
        heartbeat->heard = false;
        heartbeat->due = now + HEARTBEAT_MOMENT;
        return HEARTBEAT_FINE;
    }
    switch (heartbeat->state) {
    case HEARTBEAT_WATCHING:
        heartbeat->state = HEARTBEAT_SILENT;
        heartbeat->due = now + heartbeat->silence - HEARTBEAT_MOMENT;
        return HEARTBEAT_FINE;
    case HEARTBEAT_SILENT:
        heartbeat->due = now + HEARTBEAT_TICK;
        return HEARTBEAT_ASK;
    case HEARTBEAT_ASKED:
        heartbeat->due = now + HEARTBEAT_TICK;
        return --heartbeat->ticks_left == 0 ? HEARTBEAT_LOST : HEARTBEAT_FINE;
    default:
        return HEARTBEAT_FINE;
    }
}

void heartbeat_asked(struct heartbeat *heartbeat)
{
    heartbeat->state = HEARTBEAT_ASKED;
    heartbeat->ticks_left = HEARTBEAT_TICKS_UNANSWERED;
    heartbeat->unanswered++;
}

bool heartbeat_answered(struct heartbeat *heartbeat)
{
    if (heartbeat->unanswered == 0)
        return false;
    heartbeat->unanswered--;
    return true;
}
