#include "daemon/session/quota.h"

#include <assert.h>

enum { SECOND = 1000 * 1000 * 1000 /* nanoseconds */ };

void quota_init(struct quota *quota, int64_t limit)
{
    quota->limit = limit;
    atomic_init(&quota->in_use, 0);
}

/* Compare and swap, and not add, look and subtract: that would for a moment be more than was taken, and have others
 * refused what they may have. */
bool quota_take(struct quota *quota, int64_t amount)
{
    int64_t in_use = atomic_load(&quota->in_use);
    do {
        if (amount > quota->limit - in_use)
            return false;
    } while (!atomic_compare_exchange_weak(&quota->in_use, &in_use, in_use + amount));
    return true;
}

int64_t quota_take_share(struct quota *quota, int64_t wanted, int64_t unit)
{
    int64_t in_use = atomic_load(&quota->in_use);
    int64_t share;
    do {
        int64_t left = quota->limit - in_use;
        if (left < unit)
            return 0;
        share = left / 2 / unit * unit;
        if (share < unit)
            share = unit;
        if (share > wanted)
            share = wanted;
    } while (!atomic_compare_exchange_weak(&quota->in_use, &in_use, in_use + share));
    return share;
}

void quota_take_anyway(struct quota *quota, int64_t amount)
{
    atomic_fetch_add(&quota->in_use, amount);
}

void quota_give_back(struct quota *quota, int64_t amount)
{
    int64_t before = atomic_fetch_sub(&quota->in_use, amount);
    assert(before >= amount);
    (void)before;
}

int64_t quota_in_use(struct quota *quota)
{
    return atomic_load(&quota->in_use);
}

void rate_init(struct rate *rate, uint32_t per_second)
{
    rate->per_second = per_second;
    atomic_init(&rate->spent_to, 0);
}

bool rate_take(struct rate *rate, int64_t now)
{
    if (rate->per_second == 0)
        return true;
    int64_t spent_to = atomic_load(&rate->spent_to);
    int64_t next;
    do {
        next = (spent_to > now ? spent_to : now) + SECOND / rate->per_second;
        if (next > now + SECOND)
            return false;
    } while (!atomic_compare_exchange_weak(&rate->spent_to, &spent_to, next));
    return true;
}

void rate_give_back(struct rate *rate)
{
    if (rate->per_second)
        atomic_fetch_sub(&rate->spent_to, SECOND / rate->per_second);
}

uint32_t rate_spent(struct rate *rate, int64_t now)
{
    int64_t spent_to = atomic_load(&rate->spent_to);
    if (rate->per_second == 0 || spent_to <= now)
        return 0;
    int64_t interval = SECOND / rate->per_second;
    return (uint32_t)((spent_to - now + interval - 1) / interval);
}
