/*
 * What a user has of the daemon, over all of the user's sessions, and how much there may be. A session more brings a
 * user no more of anything: sessions charge the same account, whatever worker they live in.
 *
 * An account stays when its last session has gone, for it remembers rates. There is one for each user that is let in,
 * which is one.
 */
#ifndef OCHE_DAEMON_SESSION_ACCOUNT_H
#define OCHE_DAEMON_SESSION_ACCOUNT_H

#include "daemon/engine/list.h"
#include "daemon/session/limits.h"
#include "daemon/session/quota.h"

#include <sys/types.h>

enum account_quota {
    ACCOUNT_SESSIONS,
    ACCOUNT_HANDLES,      /* sockets, and one more for each listener that waits for a connection */
    ACCOUNT_QUEUED_BYTES, /* of writes, with FRAME_WRITE_OVERHEAD for each */
    ACCOUNT_ARENA_BYTES,  /* of shared memory, in each direction */
    ACCOUNT_REQUESTS,     /* accepts, connects and writes that are not answered yet */
    ACCOUNT_QUOTAS,
};

enum account_rate {
    ACCOUNT_SESSION_RATE,
    ACCOUNT_CONNECTION_RATE, /* connects, and connections that are accepted */
    ACCOUNT_RATES,
};

/* What somebody was refused. */
struct account_refusals {
    quota_atomic count;
    quota_atomic last; /* CLOCK_MONOTONIC, seconds + 1; 0: never */
};

struct account {
    struct list node;
    uid_t uid;
    struct quota quotas[ACCOUNT_QUOTAS];
    struct rate rates[ACCOUNT_RATES];
    struct account_refusals refusals[ACCOUNT_QUOTAS + ACCOUNT_RATES]; /* quotas first, then rates */
};

/* NULL: out of memory. */
struct account *account_new(uid_t uid, const struct limits *limits);

/* Everything must have been given back. NULL is fine. */
void account_free(struct account *account);

bool account_take(struct account *account, enum account_quota what, int64_t amount);
void account_give_back(struct account *account, enum account_quota what, int64_t amount);

/* False: too often. */
bool account_take_turn(struct account *account, enum account_rate what);
void account_give_back_turn(struct account *account, enum account_rate what);
/* How many there were lately, up to the number in a second. */
uint32_t account_turns(struct account *account, enum account_rate what);

/* Somebody is refused: counts it. True: it is the first refusal of its kind for some time, and worth a line in the log.
 */
bool account_refuse(struct account *account, enum account_quota what);
bool account_refuse_turn(struct account *account, enum account_rate what);
uint64_t account_refused(struct account *account, enum account_quota what);
uint64_t account_turns_refused(struct account *account, enum account_rate what);

/* The account of each user that has come so far. For one thread. */
struct accounts {
    struct list list;
    const struct limits *limits;
};

void accounts_init(struct accounts *accounts, const struct limits *limits);
void accounts_deinit(struct accounts *accounts);

/* NULL: out of memory. */
struct account *accounts_of(struct accounts *accounts, uid_t uid);

#endif
