#include "daemon/session/account.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

enum { BURST_S = 10 /* a burst of refusals is over when there was none for so long */ };

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct account *account_new(uid_t uid, const struct limits *limits)
{
    struct account *account = calloc(1, sizeof *account);
    if (!account)
        return NULL;
    list_init(&account->node);
    account->uid = uid;
    quota_init(&account->quotas[ACCOUNT_SESSIONS], limits->sessions);
    quota_init(&account->quotas[ACCOUNT_HANDLES], limits->user.handles);
    quota_init(&account->quotas[ACCOUNT_QUEUED_BYTES], limits->user.queued_bytes);
    quota_init(&account->quotas[ACCOUNT_ARENA_BYTES], limits->user.arena_bytes);
    quota_init(&account->quotas[ACCOUNT_REQUESTS], limits->user.requests);
    rate_init(&account->rates[ACCOUNT_SESSION_RATE], limits->user.session_rate);
    rate_init(&account->rates[ACCOUNT_CONNECTION_RATE], limits->user.connection_rate);
    return account;
}

void account_free(struct account *account)
{
    for (int what = 0; account && what < ACCOUNT_QUOTAS; what++)
        assert(quota_in_use(&account->quotas[what]) == 0);
    free(account);
}

bool account_take(struct account *account, enum account_quota what, int64_t amount)
{
    return quota_take(&account->quotas[what], amount);
}

void account_give_back(struct account *account, enum account_quota what, int64_t amount)
{
    quota_give_back(&account->quotas[what], amount);
}

bool account_take_turn(struct account *account, enum account_rate what)
{
    return rate_take(&account->rates[what], now_ns());
}

void account_give_back_turn(struct account *account, enum account_rate what)
{
    rate_give_back(&account->rates[what]);
}

uint32_t account_turns(struct account *account, enum account_rate what)
{
    return rate_spent(&account->rates[what], now_ns());
}

static bool refuse(struct account_refusals *refusals)
{
    int64_t now = now_ns() / 1000000000 + 1;
    atomic_fetch_add(&refusals->count, 1);
    int64_t last = atomic_exchange(&refusals->last, now);
    return last == 0 || now - last >= BURST_S;
}

bool account_refuse(struct account *account, enum account_quota what)
{
    return refuse(&account->refusals[what]);
}

bool account_refuse_turn(struct account *account, enum account_rate what)
{
    return refuse(&account->refusals[ACCOUNT_QUOTAS + (int)what]);
}

uint64_t account_refused(struct account *account, enum account_quota what)
{
    return (uint64_t)atomic_load(&account->refusals[what].count);
}

uint64_t account_turns_refused(struct account *account, enum account_rate what)
{
    return (uint64_t)atomic_load(&account->refusals[ACCOUNT_QUOTAS + (int)what].count);
}

void accounts_init(struct accounts *accounts, const struct limits *limits)
{
    list_init(&accounts->list);
    accounts->limits = limits;
}

void accounts_deinit(struct accounts *accounts)
{
    struct list *node;
    while ((node = list_take_first(&accounts->list)))
        account_free(list_entry(node, struct account, node));
}

struct account *accounts_of(struct accounts *accounts, uid_t uid)
{
    for (struct list *node = accounts->list.next; node != &accounts->list; node = node->next) {
        struct account *account = list_entry(node, struct account, node);
        if (account->uid == uid)
            return account;
    }
    struct account *account = account_new(uid, accounts->limits);
    if (account)
        list_append(&accounts->list, &account->node);
    return account;
}
