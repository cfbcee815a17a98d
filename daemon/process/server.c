#include "daemon/process/server.h"

#include "daemon/engine/engine.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/process/door.h"
#include "daemon/process/handover_give.h"
#include "daemon/process/respawner.h"
#include "daemon/process/worker.h"
#include "daemon/session/account.h"
#include "daemon/session/credentials.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/socket/accept_queue.h"
#include "proto/errors.h"
#include "proto/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SESSION_DESCRIPTORS = 3, /* socket and two bells */
    OTHER_DESCRIPTORS = 64,  /* log, lock, event loops, libraries */
    SELECT_DESCRIPTORS =
        1024, /* FD_SETSIZE: select(2) can wait for no descriptor beyond, glibc aborts on the attempt */
    MOST_DESCRIPTORS = 1 << 24,
};

enum server_state { SERVER_SERVING, SERVER_DRAINING, SERVER_STOPPING };

struct server {
    const struct options *options;
    enum engine_method method;
    struct rendezvous *rendezvous;
    const struct respawner *respawner;
    struct daemon_state daemon;
    struct accept_queues accept_queues;
    struct handover_key key;
    struct accounts accounts;
    enum server_state state;
    bool has_handed_over; /* it drains for that, and nobody has told it to leave */
    bool is_orphan;       /* no client can find it any more: it leaves when its sessions have ended */
    struct engine *engine;
    struct time_slice slice; /* all of the engine's time */
    struct door door;
    struct engine_timer idle_timer;
    struct engine_timer drain_timer;
    struct worker **workers;
    unsigned worker_count;
    unsigned next_worker;
    uint64_t session_number;
    uint64_t network;                /* the namespace of ours; 0: not known */
    struct engine_timer claim_timer; /* of listeners that we have from a predecessor */
    struct handover_give give;       /* to a successor */
};

/* ---- leaving ---- */

static void on_drain_timeout(void *owner)
{
    struct server *server = owner;
    server->state = SERVER_STOPPING;
    log_line(LOG_WARNING, "event=drain-timeout sessions=%llu",
             (unsigned long long)statistics_read(&server->daemon.statistics.sessions_open));
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_order(server->workers[i], WORKER_STOP);
}

static void leave(struct server *server, const char *why)
{
    if (server->state == SERVER_SERVING) {
        server->state = SERVER_DRAINING;
        log_line(LOG_INFO, "event=leaving why=\"%s\" sessions=%llu", why,
                 (unsigned long long)statistics_read(&server->daemon.statistics.sessions_open));
        handover_give_withdraw(&server->give);
        door_close(&server->door);
        for (unsigned i = 0; i < server->worker_count; i++)
            worker_order(server->workers[i], WORKER_DRAIN);
        engine_timer_set(&server->drain_timer, (uint64_t)server->options->drain_timeout_s * 1000);
    } else if (server->has_handed_over) {
        /* It leaves already, and nobody has asked it to hurry. */
        server->has_handed_over = false;
        log_line(LOG_INFO, "event=leaving why=\"%s\" sessions=%llu", why,
                 (unsigned long long)statistics_read(&server->daemon.statistics.sessions_open));
    } else if (server->state == SERVER_DRAINING) {
        on_drain_timeout(server);
    }
}

/* ---- handing over ---- */

/* In the thread of a worker. */
static void on_ask(void *context, int fd)
{
    struct server *server = context;
    handover_give_ask(&server->give, fd);
}

static void start_successor(struct server *server)
{
    const char *why_not = server->state != SERVER_SERVING ? "oched is leaving"
                          : getpid() == 1 ? "with process 1 its successor would end, too" /* pid_namespaces(7) */
                                          : NULL;
    if (why_not) {
        log_line(LOG_WARNING, "event=ignored signal=SIGUSR2 why=\"%s\"", why_not);
        return;
    }
    int r = respawner_say(server->respawner, RESPAWNER_SUCCEED, NULL);
    if (r < 0)
        log_line(LOG_ERROR, "event=successor-failed error=\"%s\" errno=%d advice=\"oched --replace hands over, too\"",
                 errno_text(-r), -r);
}

static void on_given(void *context, uint32_t listeners)
{
    struct server *server = context;
    server->state = SERVER_DRAINING;
    log_hand_over();
    log_line(LOG_INFO, "event=handed-over listeners=%u sessions=%llu", listeners,
             (unsigned long long)statistics_read(&server->daemon.statistics.sessions_open));
    server->has_handed_over = true;
    door_leave(&server->door);
    engine_timer_set(&server->drain_timer, (uint64_t)server->options->drain_timeout_s * 1000);
}

/* ---- what happens ---- */

static void on_signal(void *context, int signal)
{
    struct server *server = context;
    switch (signal) {
    case SIGHUP:
        log_reopen_file();
        log_line(LOG_INFO, "event=log-reopened");
        door_look(&server->door);
        break;
    case SIGUSR2:
        start_successor(server);
        break;
    default:
        leave(server, signal == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

static bool is_idle(struct server *server)
{
    return statistics_read(&server->daemon.statistics.sessions_open) == 0 && !handover_give_is_under_way(&server->give);
}

static void on_idle(void *owner)
{
    struct server *server = owner;
    if (is_idle(server))
        leave(server, "idle");
}

static bool has_failed_worker(const struct server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (atomic_load(&server->workers[i]->failed))
            return true;
    }
    return false;
}

static bool all_workers_finished(const struct server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (!atomic_load(&server->workers[i]->finished))
            return false;
    }
    return true;
}

static void start_idle_timer(struct server *server)
{
    if (server->is_orphan && server->state == SERVER_SERVING && is_idle(server))
        leave(server, "orphaned");
    if (server->options->idle_exit_s && server->state == SERVER_SERVING && is_idle(server))
        engine_timer_set(&server->idle_timer, (uint64_t)server->options->idle_exit_s * 1000);
}

/* A worker says that something has changed. */
static void on_wake(void *context)
{
    struct server *server = context;
    start_idle_timer(server);
    if (server->state == SERVER_SERVING && has_failed_worker(server))
        leave(server, "a loop has failed");
    handover_give_go_on(&server->give);
    door_go_on(&server->door);
    if (server->state >= SERVER_DRAINING && all_workers_finished(server))
        engine_stop(server->engine);
}

static void on_unclaimed(void *owner)
{
    struct server *server = owner;
    uint32_t count = handover_items_close(server->daemon.unclaimed);
    if (count > 0)
        log_line(LOG_WARNING, "event=unclaimed listeners=%u", count);
}

static void on_worker_changed(void *context)
{
    struct server *server = context;
    engine_wake(server->engine);
}

/* ---- letting clients in ---- */

/* NULL: the client is let in, and a session of its account is taken. Or the reason why not, for its client. */
static const char *charge_session(struct account *account)
{
    if (!account_take(account, ACCOUNT_SESSIONS, 1)) {
        account_refuse(account, ACCOUNT_SESSIONS);
        return "the limit on sessions is reached (--max-sessions)";
    }
    if (!account_take_turn(account, ACCOUNT_SESSION_RATE)) {
        account_give_back(account, ACCOUNT_SESSIONS, 1);
        account_refuse_turn(account, ACCOUNT_SESSION_RATE);
        return "too many new sessions in a second (--user-max-session-rate)";
    }
    return NULL;
}

/* NULL: the client is let in, or is going to be refused with words. A client that is refused is still told so, which
 * takes a session; but not any number of them. */
static const char *charge(struct server *server, struct session_client *client, uid_t uid, uint64_t network)
{
    client->account = accounts_of(&server->accounts, uid);
    if (!client->account)
        return "out of memory";
    /* 0: the system does not tell, which no client can bring about. */
    if (network != 0 && server->network != 0 && network != server->network) {
        client->refusal =
            "the program is in another network namespace than oched, whose network it would get; start an "
            "oched there, with a socket of its own (--socket, OCHE_SOCKET)";
        client->refusal_code = OCHE_ERR_DAEMON_UNAVAILABLE;
    } else {
        client->refusal = charge_session(client->account);
        client->refusal_code = OCHE_ERR_QUOTA;
    }
    if (!client->refusal)
        return NULL;
    if (atomic_fetch_add(&server->daemon.refused_sessions, 1) < REFUSED_AT_ONCE)
        return NULL;
    atomic_fetch_sub(&server->daemon.refused_sessions, 1);
    return client->refusal;
}

static void admit(struct server *server, int fd)
{
    struct statistics *statistics = &server->daemon.statistics;
    struct ucred peer = {0};
    const char *objection = credentials_objection(fd, &peer);
    struct session_client client = {.number = ++server->session_number, .pid = peer.pid};
    credentials_write_pid(peer.pid, client.pid_text);
    if (!objection)
        objection = charge(server, &client, peer.uid, credentials_network_of(fd));
    if (objection) {
        log_failure(LOG_WARNING, "session=%llu event=refused pid=%s uid=%u why=\"%s\"",
                    (unsigned long long)client.number, client.pid_text, (unsigned)peer.uid, objection);
        close(fd);
        return;
    }
    statistics_add(&statistics->sessions_open, 1);
    statistics_add(&statistics->sessions_total, 1);
    engine_timer_cancel(&server->idle_timer);

    struct worker *worker = server->workers[server->next_worker];
    server->next_worker = (server->next_worker + 1) % server->worker_count;
    if (worker_add_session(worker, fd, &client) < 0) {
        worker_session_gone(worker, client.account, client.refusal);
        log_failure(LOG_ERROR, "session=%llu event=refused pid=%s why=\"out of memory\"",
                    (unsigned long long)client.number, client.pid_text);
        close(fd);
    }
}

static void on_entered(void *context, int fd)
{
    admit(context, fd);
}

static bool is_door_held(void *context)
{
    struct server *server = context;
    return handover_give_is_under_way(&server->give);
}

static void on_door_lost(void *context)
{
    struct server *server = context;
    server->is_orphan = true;
    start_idle_timer(server);
}

static const struct door_user door_user = {
    .entered = on_entered,
    .is_held = is_door_held,
    .lost = on_door_lost,
};

/* ---- making and unmaking ---- */

/* A descriptor was given back while somebody waited for one. */
static void on_descriptor_freed(void *context)
{
    struct server *server = context;
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_order(server->workers[i], WORKER_RETRY);
}

static int start_loop(struct server *server, struct server_parts *parts)
{
    server->engine = engine_new(server->method, on_wake, server);
    if (!server->engine)
        return -errno;
    time_slice_init(&server->slice, server->engine);
    engine_timer_init(&server->idle_timer, server->engine, on_idle, server);
    engine_timer_init(&server->drain_timer, server->engine, on_drain_timeout, server);
    engine_timer_init(&server->claim_timer, server->engine, on_unclaimed, server);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        int r = engine_catch_signal(server->engine, signals[i], on_signal);
        if (r < 0)
            return r;
    }
    return door_init(&server->door, &server->slice, parts->rendezvous, &parts->respawner, &door_user, server);
}

static int start_workers(struct server *server)
{
    server->workers = calloc(server->options->workers, sizeof *server->workers);
    if (!server->workers)
        return -ENOMEM;
    while (server->worker_count < server->options->workers) {
        struct worker *worker = worker_new(&server->daemon, server->method, on_worker_changed, server);
        if (!worker)
            return -errno;
        server->workers[server->worker_count++] = worker;
    }
    return 0;
}

/* Before anybody is let in, who might ask. */
static void prepare_handover(struct server *server)
{
    server->give.giver = (struct handover_giver){
        .slice = &server->slice,
        .workers = server->workers,
        .worker_count = server->worker_count,
        .rendezvous = server->rendezvous,
        .door = &server->door,
        .limit = (uint64_t)server->options->handover_timeout_s * 1000,
        .given = on_given,
        .context = server,
    };
}

struct server *server_new(struct server_parts *parts)
{
    const struct options *options = parts->options;
    struct server *server = calloc(1, sizeof *server);
    if (!server) {
        fprintf(stderr, "oched: out of memory\n");
        return NULL;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    server->options = options;
    server->method = parts->method;
    server->rendezvous = parts->rendezvous;
    server->respawner = &parts->respawner;
    server->network = credentials_network();
    server->daemon.limits = options->limits;
    server->daemon.key = &server->key;
    server->key = parts->rendezvous->key;
    accounts_init(&server->accounts, &options->limits);
    server->daemon.unclaimed = parts->inherited;
    server->daemon.ask = on_ask;
    server->daemon.context = server;
    accept_queues_init(&server->accept_queues);
    server->daemon.accept_queues = &server->accept_queues;
    handover_give_init(&server->give);
    server->daemon.policy = &options->policy;
    server->daemon.tls_roots = parts->tls_roots;
    tls_tickets_init(&server->daemon.tls_tickets);
    server->daemon.statistics.started = now.tv_sec;
    descriptors_init(&server->daemon.descriptors,
                     server->method == ENGINE_SELECT ? SELECT_DESCRIPTORS : MOST_DESCRIPTORS,
                     (long)options->limits.sessions * SESSION_DESCRIPTORS + REFUSED_AT_ONCE + OTHER_DESCRIPTORS,
                     on_descriptor_freed, server);
    int r = start_loop(server, parts);
    if (r == 0)
        r = start_workers(server);
    if (r == 0)
        prepare_handover(server);
    if (r < 0) {
        fprintf(stderr, "oched: cannot start the event loops: %s\n", strerror(-r));
        server_free(server);
        return NULL;
    }
    log_line(LOG_INFO,
             "event=serving version=" OCHE_VERSION " pid=%d socket=\"%s\" workers=%u method=%s descriptors=%ld",
             (int)getpid(), parts->rendezvous->address.sun_path, options->workers, engine_method_name(server->method),
             server->daemon.descriptors.limit);
    return server;
}

int server_run(struct server *server)
{
    start_idle_timer(server);
    if (server->daemon.unclaimed->count > 0)
        engine_timer_set(&server->claim_timer, HANDOVER_CLAIM_LIMIT);
    door_open(&server->door);
    int r = engine_run(server->engine);
    if (r < 0)
        log_line(LOG_ERROR, "event=loop-failed error=\"%s\" errno=%d", errno_text(-r), -r);
    else if (has_failed_worker(server))
        r = -EIO;
    log_line(LOG_INFO, "event=left pid=%d", (int)getpid());
    return r;
}

void server_free(struct server *server)
{
    if (!server)
        return;
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_order(server->workers[i], WORKER_STOP);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_join(server->workers[i]);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_free(server->workers[i]);
    free(server->workers);
    accept_queues_deinit(&server->accept_queues);
    accounts_deinit(&server->accounts);
    door_deinit(&server->door);
    handover_give_deinit(&server->give);
    engine_timer_deinit(&server->idle_timer);
    engine_timer_deinit(&server->drain_timer);
    engine_timer_deinit(&server->claim_timer);
    if (server->slice.engine)
        time_slice_deinit(&server->slice);
    engine_free(server->engine);
    tls_roots_deinit(&server->daemon.tls_roots);
    tls_tickets_deinit(&server->daemon.tls_tickets);
    free(server);
}
