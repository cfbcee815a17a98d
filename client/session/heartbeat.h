/*
 * Whether the daemon still answers.
 *
 * A daemon that is stopped, or that hangs, keeps its connections, so nothing tells its clients. Therefore a daemon that
 * owes an answer and says nothing for two seconds is asked whether it is there (PING), and when it has said nothing
 * for four seconds more, it is lost. Any word of it counts. So does that it takes what lies ready for it, for there may
 * be more before the question than it can take in four seconds on a busy machine. While it owes nothing, nobody asks
 * and nobody wakes up: a read or an accept may wait for hours.
 *
 * An answer may also be owed for long because a peer takes its time, as with a write to one that does not read. So
 * each question that was answered doubles the silence before the next one, up to a minute; a new request begins with
 * two seconds again.
 *
 * No clock and no system call here: the caller passes the time, in milliseconds.
 */
#ifndef OCHE_CLIENT_SESSION_HEARTBEAT_H
#define OCHE_CLIENT_SESSION_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

enum heartbeat_state {
    HEARTBEAT_OFF,     /* no daemon, or one that does not know PING */
    HEARTBEAT_RESTING, /* the daemon owes nothing */
    HEARTBEAT_WATCHING,
    HEARTBEAT_SILENT, /* nothing was heard in the first moment of watching */
    HEARTBEAT_ASKED,  /* and so it was asked */
};

/* All zero: off. */
struct heartbeat {
    enum heartbeat_state state;
    bool heard;          /* since the last tick */
    unsigned unanswered; /* questions */
    unsigned ticks_left; /* before an asked daemon is lost */
    int64_t silence;     /* milliseconds of it before a question */
    int64_t due;         /* the time of the next tick; 0: none */
    uint32_t taken;      /* as heartbeat_see() was told last */
};

enum heartbeat_verdict {
    HEARTBEAT_FINE,
    HEARTBEAT_ASK, /* the daemon should be asked, and heartbeat_asked() called if that was done */
    HEARTBEAT_LOST,
};

enum {
    HEARTBEAT_MOMENT = 250,         /* milliseconds. Few answers take longer, so most watches end after one tick */
    HEARTBEAT_SILENCE = 2000,       /* before the first question */
    HEARTBEAT_SILENCE_MAX = 60000,  /* before later ones */
    HEARTBEAT_TICK = 1000,          /* after a question */
    HEARTBEAT_TICKS_UNANSWERED = 4, /* and then it is lost */
};

/* There is a new daemon, which knows PING. */
void heartbeat_begin(struct heartbeat *heartbeat);

/* The daemon said something. */
static inline void heartbeat_hear(struct heartbeat *heartbeat)
{
    heartbeat->heard = true;
}

/* How much the daemon has taken, as any number that changes with it. To be called before each tick. */
void heartbeat_see(struct heartbeat *heartbeat, uint32_t taken);

/* A request begins whose answer the daemon owes: whether heartbeat_watch() has to be called. Cheap, for there are many
 * requests. */
static inline bool heartbeat_needs_watch(const struct heartbeat *heartbeat)
{
    return heartbeat->state != HEARTBEAT_OFF &&
           (heartbeat->state == HEARTBEAT_RESTING || heartbeat->silence > HEARTBEAT_SILENCE);
}

void heartbeat_watch(struct heartbeat *heartbeat, int64_t now);

/* It is time. `owed`: the daemon owes an answer. */
enum heartbeat_verdict heartbeat_tick(struct heartbeat *heartbeat, int64_t now, bool owed);

void heartbeat_asked(struct heartbeat *heartbeat);

/* The answer to a question. False: none was asked. */
bool heartbeat_answered(struct heartbeat *heartbeat);

#endif
