#include "daemon/process/worker.h"

#include "daemon/handover/handover_items.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/operations/operations.h"
#include "daemon/session/account.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { DRAIN_CHECK_MS = 10 };

/* A client on its way from the server to the worker. */
struct arrival {
    struct list node;
    int fd;
    struct session_client client;
};

static void let_in(struct worker *worker, struct arrival *arrival)
{
    const struct session_client *client = &arrival->client;
    if (worker->draining || !session_new(&worker->host, arrival->fd, client)) {
        log_failure(LOG_ERROR, "session=%llu event=refused pid=%s why=\"%s\"", (unsigned long long)client->number,
                    client->pid_text, worker->draining ? "the daemon leaves" : "out of memory");
        close(arrival->fd);
        worker_session_gone(worker, client->account, client->refusal);
    }
    free(arrival);
}

static void end_sessions(struct worker *worker)
{
    struct list *next;
    for (struct list *node = worker->host.sessions.next; node != &worker->host.sessions; node = next) {
        next = node->next;
        session_end(list_entry(node, struct session, node), "the daemon leaves", 0);
    }
}

static void check_drained(void *owner)
{
    struct worker *worker = owner;
    struct list *next;
    for (struct list *node = worker->host.sessions.next; node != &worker->host.sessions; node = next) {
        struct session *session = list_entry(node, struct session, node);
        next = node->next;
        if (session_is_drained(session))
            session_end(session, "the daemon leaves", 0);
    }
    if (list_is_empty(&worker->host.sessions))
        engine_stop(worker->host.engine);
    else
        engine_timer_set(&worker->drain_timer, DRAIN_CHECK_MS);
}

static void set_phase(struct worker *worker, enum handover_phase phase)
{
    worker->host.phase = phase;
    atomic_store(&worker->phase, phase);
    worker->changed(worker->context);
}

static void offer(struct worker *worker, struct handover_items *items)
{
    worker->host.phase = HANDOVER_OFFERED; /* what is closed from now on may be the successor's, too */
    for (struct list *node = worker->host.sessions.next; node != &worker->host.sessions; node = node->next) {
        int r = session_offer(list_entry(node, struct session, node), items);
        if (r < 0)
            atomic_store(&items->failed, -r);
    }
    set_phase(worker, HANDOVER_OFFERED);
}

static void keep(struct worker *worker)
{
    struct list *next;
    worker->host.phase = HANDOVER_NONE;
    for (struct list *node = worker->host.sessions.next; node != &worker->host.sessions; node = next) {
        next = node->next;
        session_keep(list_entry(node, struct session, node));
    }
}

static void drain(struct worker *worker, bool give)
{
    struct list *next;
    worker->draining = true;
    worker->host.phase = HANDOVER_NONE;
    for (struct list *node = worker->host.sessions.next; node != &worker->host.sessions; node = next) {
        next = node->next;
        if (give)
            session_give(list_entry(node, struct session, node));
        session_drain(list_entry(node, struct session, node));
    }
    engine_timer_set(&worker->drain_timer, DRAIN_CHECK_MS);
    if (give)
        set_phase(worker, HANDOVER_GIVEN);
}

static void on_wake(void *context)
{
    struct worker *worker = context;
    struct list arrivals;
    list_init(&arrivals);

    pthread_mutex_lock(&worker->mailbox.lock);
    list_splice(&arrivals, &worker->mailbox.arrivals);
    struct handover_items *items = worker->mailbox.items;
    unsigned orders = worker->mailbox.orders;
    worker->mailbox.items = NULL;
    worker->mailbox.orders = 0;
    pthread_mutex_unlock(&worker->mailbox.lock);

    struct list *node;
    while ((node = list_take_first(&arrivals)))
        let_in(worker, list_entry(node, struct arrival, node));
    starvation_retry(&worker->host.starvation);
    if (orders & WORKER_KEEP)
        keep(worker);
    if (orders & WORKER_OFFER)
        offer(worker, items);
    if (orders & (WORKER_GIVE | WORKER_DRAIN) && !worker->draining)
        drain(worker, orders & WORKER_GIVE);
    if (orders & WORKER_STOP) {
        worker->draining = true;
        end_sessions(worker);
        engine_stop(worker->host.engine);
    }
}

static void on_session_gone(struct session_host *host, struct account *account, bool refused)
{
    worker_session_gone(list_entry(host, struct worker, host), account, refused);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    int r = engine_run(worker->host.engine);
    if (r < 0) {
        log_line(LOG_ERROR, "event=loop-failed error=\"%s\" errno=%d", errno_text(-r), -r);
        worker->draining = true;
        end_sessions(worker);
        engine_free_closed(worker->host.engine);
        atomic_store(&worker->failed, true);
    }
    atomic_store(&worker->finished, true);
    worker->changed(worker->context);
    return NULL;
}

/* The thread that handles signals is the server's. */
static int start_thread(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void deinit(struct worker *worker)
{
    starvation_deinit(&worker->host.starvation);
    engine_timer_deinit(&worker->drain_timer);
    engine_free(worker->host.engine);
    tls_library_deinit(&worker->host.tls);
    pthread_mutex_destroy(&worker->mailbox.lock);
    free(worker);
}

struct worker *worker_new(struct daemon_state *daemon, enum engine_method method, void (*changed)(void *context),
                          void *context)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->host.daemon = daemon;
    worker->host.handle = operations_handle;
    worker->host.session_gone = on_session_gone;
    worker->changed = changed;
    worker->context = context;
    list_init(&worker->host.sessions);
    list_init(&worker->host.tenants);
    list_init(&worker->mailbox.arrivals);
    pthread_mutex_init(&worker->mailbox.lock, NULL);

    int error = 0;
    worker->host.engine = engine_new(method, on_wake, worker);
    if (!worker->host.engine) {
        error = errno;
    } else {
        engine_timer_init(&worker->drain_timer, worker->host.engine, check_drained, worker);
        starvation_init(&worker->host.starvation, worker->host.engine);
        error = start_thread(worker);
    }
    if (error) {
        deinit(worker);
        errno = error;
        return NULL;
    }
    return worker;
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    assert(list_is_empty(&worker->host.sessions));
    struct list *node;
    while ((node = list_take_first(&worker->mailbox.arrivals))) {
        struct arrival *arrival = list_entry(node, struct arrival, node);
        close(arrival->fd);
        worker_session_gone(worker, arrival->client.account, arrival->client.refusal);
        free(arrival);
    }
    deinit(worker);
}

int worker_add_session(struct worker *worker, int fd, const struct session_client *client)
{
    struct arrival *arrival = malloc(sizeof *arrival);
    if (!arrival)
        return -ENOMEM;
    *arrival = (struct arrival){.fd = fd, .client = *client};
    pthread_mutex_lock(&worker->mailbox.lock);
    list_append(&worker->mailbox.arrivals, &arrival->node);
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->host.engine);
    return 0;
}

static void post(struct worker *worker, enum worker_order order, struct handover_items *items)
{
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.orders |= order;
    if (order == WORKER_OFFER)
        worker->mailbox.items = items;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->host.engine);
}

void worker_order(struct worker *worker, enum worker_order order)
{
    post(worker, order, NULL);
}

void worker_offer(struct worker *worker, struct handover_items *items)
{
    atomic_store(&worker->phase, HANDOVER_NONE);
    post(worker, WORKER_OFFER, items);
}

void worker_session_gone(struct worker *worker, struct account *account, bool refused)
{
    struct daemon_state *daemon = worker->host.daemon;
    if (refused)
        atomic_fetch_sub(&daemon->refused_sessions, 1);
    else
        account_give_back(account, ACCOUNT_SESSIONS, 1);
    atomic_fetch_sub(&daemon->statistics.sessions_open, 1);
    worker->changed(worker->context);
}
