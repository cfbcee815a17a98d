#include "daemon/worker.h"

#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/session.h"

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

static void welcome_arrival(struct worker *worker, struct arrival *arrival)
{
    const struct session_client *client = &arrival->client;
    if (worker->draining || !session_new(worker, arrival->fd, client)) {
        log_failure(LOG_ERROR, "session=%llu event=refused pid=%s why=\"%s\"", (unsigned long long)client->number,
                    client->pid_text, worker->draining ? "the daemon leaves" : "out of memory");
        close(arrival->fd);
        worker_session_gone(worker, client->account, client->refusal);
    }
    free(arrival);
}

static void retry_starved(struct worker *worker)
{
    struct list starved;
    struct list *node;
    list_init(&starved);
    list_splice(&starved, &worker->starved);
    while ((node = list_take_first(&starved)))
        listener_retry(list_entry(node, struct listener, starved_node));
}

static void end_sessions(struct worker *worker)
{
    struct list *next;
    for (struct list *node = worker->sessions.next; node != &worker->sessions; node = next) {
        next = node->next;
        session_end(list_entry(node, struct session, node), "the daemon leaves", 0);
    }
}

static void check_drained(void *owner)
{
    struct worker *worker = owner;
    struct list *next;
    for (struct list *node = worker->sessions.next; node != &worker->sessions; node = next) {
        struct session *session = list_entry(node, struct session, node);
        next = node->next;
        if (session_is_drained(session))
            session_end(session, "the daemon leaves", 0);
    }
    if (list_is_empty(&worker->sessions))
        engine_stop(worker->engine);
    else
        engine_timer_set(worker->drain_timer, DRAIN_CHECK_MS);
}

static void list_listeners(struct worker *worker, struct estate *estate)
{
    worker->handing = true;
    for (struct list *node = worker->sessions.next; node != &worker->sessions; node = node->next) {
        int r = session_bequeath(list_entry(node, struct session, node), estate);
        if (r < 0)
            atomic_store(&estate->failed, -r);
    }
    atomic_store(&worker->listed, true);
    worker->changed(worker->context);
}

static void keep_listeners(struct worker *worker)
{
    struct list *next;
    worker->handing = false;
    for (struct list *node = worker->sessions.next; node != &worker->sessions; node = next) {
        next = node->next;
        session_keep(list_entry(node, struct session, node));
    }
}

static void begin_drain(struct worker *worker, bool handed)
{
    struct list *next;
    worker->draining = true;
    worker->handing = false;
    for (struct list *node = worker->sessions.next; node != &worker->sessions; node = next) {
        next = node->next;
        if (handed)
            session_hand_over(list_entry(node, struct session, node));
        session_drain(list_entry(node, struct session, node));
    }
    engine_timer_set(worker->drain_timer, DRAIN_CHECK_MS);
    if (handed) {
        atomic_store(&worker->handed_over, true);
        worker->changed(worker->context);
    }
}

static void on_wake(void *context)
{
    struct worker *worker = context;
    struct list arrivals;
    list_init(&arrivals);

    pthread_mutex_lock(&worker->mailbox.lock);
    list_splice(&arrivals, &worker->mailbox.arrivals);
    struct estate *estate = worker->mailbox.estate;
    worker->mailbox.estate = NULL;
    bool kept = worker->mailbox.kept;
    worker->mailbox.kept = false;
    bool handed = worker->mailbox.handed;
    bool drain = worker->mailbox.drain || handed;
    bool stop = worker->mailbox.stop;
    pthread_mutex_unlock(&worker->mailbox.lock);

    struct list *node;
    while ((node = list_take_first(&arrivals)))
        welcome_arrival(worker, list_entry(node, struct arrival, node));
    retry_starved(worker);
    if (kept)
        keep_listeners(worker);
    if (estate)
        list_listeners(worker, estate);
    if (drain && !worker->draining)
        begin_drain(worker, handed);
    if (stop) {
        worker->draining = true;
        end_sessions(worker);
        engine_stop(worker->engine);
    }
}

static void on_starved_timer(void *owner)
{
    struct worker *worker = owner;
    worker->starved_delay_ms = 0;
    retry_starved(worker);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    int r = engine_run(worker->engine);
    if (r < 0) {
        log_line(LOG_ERROR, "event=loop-failed error=\"%s\" errno=%d", log_errno_text(-r), -r);
        worker->draining = true;
        end_sessions(worker);
        engine_free_closed(worker->engine);
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
    engine_timer_free(worker->starved_timer);
    engine_timer_free(worker->drain_timer);
    engine_free(worker->engine);
    pthread_mutex_destroy(&worker->mailbox.lock);
    free(worker);
}

struct worker *worker_new(struct shared *shared, enum engine_method method, void (*changed)(void *context),
                          void *context)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->shared = shared;
    worker->changed = changed;
    worker->context = context;
    list_init(&worker->sessions);
    list_init(&worker->shares);
    list_init(&worker->starved);
    list_init(&worker->mailbox.arrivals);
    pthread_mutex_init(&worker->mailbox.lock, NULL);

    int error = 0;
    worker->engine = engine_new(method, on_wake, worker);
    if (!worker->engine) {
        error = errno;
    } else {
        worker->starved_timer = engine_timer_new(worker->engine, on_starved_timer, worker);
        worker->drain_timer = engine_timer_new(worker->engine, check_drained, worker);
        error = worker->starved_timer && worker->drain_timer ? start_thread(worker) : ENOMEM;
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
    assert(list_is_empty(&worker->sessions) && list_is_empty(&worker->starved));
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
    engine_wake(worker->engine);
    return 0;
}

void worker_list(struct worker *worker, struct estate *estate)
{
    atomic_store(&worker->listed, false);
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.estate = estate;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->engine);
}

void worker_keep(struct worker *worker)
{
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.kept = true;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->engine);
}

void worker_hand_over(struct worker *worker)
{
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.handed = true;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->engine);
}

void worker_drain(struct worker *worker)
{
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.drain = true;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->engine);
}

void worker_stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->mailbox.lock);
    worker->mailbox.stop = true;
    pthread_mutex_unlock(&worker->mailbox.lock);
    engine_wake(worker->engine);
}

void worker_retry_starved(struct worker *worker)
{
    engine_wake(worker->engine);
}

struct worker_share *worker_take_share(struct worker *worker, pid_t pid)
{
    for (struct list *node = worker->shares.next; node != &worker->shares; node = node->next) {
        struct worker_share *share = list_entry(node, struct worker_share, node);
        if (share->pid == pid) {
            share->sessions++;
            return share;
        }
    }
    struct worker_share *share = malloc(sizeof *share);
    if (!share)
        return NULL;
    *share = (struct worker_share){.pid = pid, .sessions = 1};
    engine_share_init(&share->share, worker->engine);
    list_init(&share->node);
    list_append(&worker->shares, &share->node);
    return share;
}

void worker_give_back_share(struct worker_share *share)
{
    if (--share->sessions > 0)
        return;
    engine_share_deinit(&share->share);
    list_remove(&share->node);
    free(share);
}

void worker_session_gone(struct worker *worker, struct account *account, bool refused)
{
    if (refused)
        atomic_fetch_sub(&worker->shared->refused_sessions, 1);
    else
        account_give_back(account, ACCOUNT_SESSIONS, 1);
    atomic_fetch_sub(&worker->shared->statistics.sessions_open, 1);
    worker->changed(worker->context);
}

void worker_socket_gone(struct worker *worker)
{
    /* It may have been a handle of the session's that was lacking, of which no other worker knows. */
    if (!list_is_empty(&worker->starved))
        engine_wake(worker->engine);
}

void worker_starve(struct worker *worker, struct list *node, unsigned delay_ms)
{
    list_append(&worker->starved, node);
    if (delay_ms == 0 || (worker->starved_delay_ms && worker->starved_delay_ms <= delay_ms))
        return;
    worker->starved_delay_ms = delay_ms;
    engine_timer_set(worker->starved_timer, delay_ms);
}
