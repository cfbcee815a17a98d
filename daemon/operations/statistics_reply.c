#include "daemon/operations/statistics_reply.h"

#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "proto/oche.pb-c.h"

#include <time.h>

static void describe_quota(struct account *account, enum account_quota what, Oche__Quota *quota)
{
    oche__quota__init(quota);
    quota->used = (uint64_t)quota_in_use(&account->quotas[what]);
    quota->limit = (uint64_t)account->quotas[what].limit;
    quota->refused = account_refused(account, what);
}

static void describe_rate(struct account *account, enum account_rate what, Oche__Quota *quota)
{
    oche__quota__init(quota);
    quota->used = account_turns(account, what);
    quota->limit = account->rates[what].per_second;
    quota->refused = account_turns_refused(account, what);
}

void statistics_reply(struct session *session, const struct frame *request)
{
    struct daemon_state *daemon = session->host->daemon;
    struct statistics *statistics = &daemon->statistics;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    Oche__Statistics body = OCHE__STATISTICS__INIT;
    body.uptime_seconds = (uint64_t)(now.tv_sec - statistics->started);
    body.sessions_open = statistics_read(&statistics->sessions_open);
    body.sessions_total = statistics_read(&statistics->sessions_total);
    body.sockets_open = (uint64_t)atomic_load(&daemon->descriptors.in_use);
    body.connections_accepted = statistics_read(&statistics->connections_accepted);
    body.connections_made = statistics_read(&statistics->connections_made);
    body.bytes_received = statistics_read(&statistics->bytes_received);
    body.bytes_sent = statistics_read(&statistics->bytes_sent);
    body.handshakes = statistics_read(&statistics->handshakes);
    body.handshakes_resumed = statistics_read(&statistics->handshakes_resumed);
    body.handshakes_failed = statistics_read(&statistics->handshakes_failed);
    body.session_handles = session->sockets.used;
    body.session_queued_bytes = session->queued_bytes;

    struct account *account = session->account;
    Oche__Quota quotas[ACCOUNT_QUOTAS];
    Oche__Quota rates[ACCOUNT_RATES];
    for (int what = 0; what < ACCOUNT_QUOTAS; what++)
        describe_quota(account, (enum account_quota)what, &quotas[what]);
    for (int what = 0; what < ACCOUNT_RATES; what++)
        describe_rate(account, (enum account_rate)what, &rates[what]);
    body.user = account->uid;
    body.user_sessions = &quotas[ACCOUNT_SESSIONS];
    body.user_handles = &quotas[ACCOUNT_HANDLES];
    body.user_queued_bytes = &quotas[ACCOUNT_QUEUED_BYTES];
    body.user_arena_bytes = &quotas[ACCOUNT_ARENA_BYTES];
    body.user_requests = &quotas[ACCOUNT_REQUESTS];
    body.user_session_rate = &rates[ACCOUNT_SESSION_RATE];
    body.user_connection_rate = &rates[ACCOUNT_CONNECTION_RATE];
    session_reply_message(session, request, 0, &body.base);
}
