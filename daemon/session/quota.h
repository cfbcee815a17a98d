/*
 * Two ways to bound what somebody uses: a quota bounds how much there is at once, a rate how often something happens.
 * Any thread; exact, and without a lock. Neither calls the system: the time is passed in.
 */
#ifndef OCHE_DAEMON_SESSION_QUOTA_H
#define OCHE_DAEMON_SESSION_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

/* In C++, which only tests are written in, as an opaque number of the same size. */
#ifdef __cplusplus
typedef int64_t quota_atomic;
#else
#include <stdatomic.h>
typedef _Atomic int64_t quota_atomic;
#endif

struct quota {
    int64_t limit;
    quota_atomic in_use;
};

void quota_init(struct quota *quota, int64_t limit);

/* False: that would be beyond the limit, and nothing was taken. */
bool quota_take(struct quota *quota, int64_t amount);

/* Takes `wanted`, but no more than half of what is left, so that something is left for the next one; in whole `unit`s,
 * of which `wanted` is a multiple. How much was taken: 0 when not even one unit is left. */
int64_t quota_take_share(struct quota *quota, int64_t wanted, int64_t unit);

/* For what must not fail, and is bounded in another way: the limit may be exceeded. */
void quota_take_anyway(struct quota *quota, int64_t amount);

void quota_give_back(struct quota *quota, int64_t amount);

int64_t quota_in_use(struct quota *quota);

/* A bucket that holds as many tokens as come in a second. */
struct rate {
    uint32_t per_second;   /* 0: no limit */
    quota_atomic spent_to; /* nanoseconds: when the bucket will be full again */
};

void rate_init(struct rate *rate, uint32_t per_second);

/* `now`: nanoseconds of a clock that does not go back. False: the bucket is empty. */
bool rate_take(struct rate *rate, int64_t now);

/* A token was taken for something that did not happen. */
void rate_give_back(struct rate *rate);

/* Tokens that the bucket lacks: how many were taken lately. */
uint32_t rate_spent(struct rate *rate, int64_t now);

#endif
