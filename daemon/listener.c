#include "daemon/listener.h"

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/policy.h"
#include "daemon/session.h"
#include "daemon/worker.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ACCEPTS_SMALLEST = 4,
    STARVATION_LOG_INTERVAL_S = 60,
    SHORTAGE_RETRY_MS = 1000, /* when the system is short of something */
    RATE_RETRY_MS = 10,       /* when connections come too often */
};

static const struct engine_handlers handlers;

/* ---- the ring of requests ---- */

static int grow_accepts(struct listener *listener)
{
    uint32_t size = listener->accepts_size ? listener->accepts_size * 2 : ACCEPTS_SMALLEST;
    int64_t *accepts = malloc(size * sizeof *accepts);
    if (!accepts)
        return OCHE_ERR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < listener->accepts_count; i++)
        accepts[i] = listener->accepts[(listener->accepts_first + i) % listener->accepts_size];
    free(listener->accepts);
    listener->accepts = accepts;
    listener->accepts_size = size;
    listener->accepts_first = 0;
    return 0;
}

static int push_accept(struct listener *listener, int64_t request_id)
{
    struct session *session = listener->session;
    struct account *account = session->account;
    if (listener->accepts_count == ACCEPTS_PER_LISTENER)
        return OCHE_ERR_OUT_OF_MEMORY;
    if (listener->accepts_count == listener->accepts_size) {
        int code = grow_accepts(listener);
        if (code < 0)
            return code;
    }
    if (!account_take(account, ACCOUNT_REQUESTS, 1))
        return session_refuse(session, ACCOUNT_REQUESTS, account->quotas[ACCOUNT_REQUESTS].limit);
    uint32_t last = (listener->accepts_first + listener->accepts_count) % listener->accepts_size;
    listener->accepts[last] = request_id;
    listener->accepts_count++;
    return 0;
}

static int64_t take_accept(struct listener *listener)
{
    int64_t request_id = listener->accepts[listener->accepts_first];
    listener->accepts_first = (listener->accepts_first + 1) % listener->accepts_size;
    listener->accepts_count--;
    account_give_back(listener->session->account, ACCOUNT_REQUESTS, 1);
    return request_id;
}

/* ---- accepting ---- */

/* One line when it begins to matter, not one for every connection that has to wait. */
static void log_starvation(struct listener *listener, const char *lacking, long limit, const char *advice)
{
    struct shared *shared = listener->session->worker->shared;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long last = atomic_load(&shared->starvation_logged);
    if (last != 0 && now.tv_sec - last < STARVATION_LOG_INTERVAL_S)
        return;
    if (!atomic_compare_exchange_strong(&shared->starvation_logged, &last, (long long)now.tv_sec + 1))
        return;
    log_line(
        LOG_WARNING,
        "session=%llu event=accept-paused why=\"no %s is left\" limit=%ld advice=\"accept goes on when sockets are "
        "closed; %s\"",
        (unsigned long long)listener->session->number, lacking, limit, advice);
}

static void accept_next(struct listener *listener)
{
    struct session *session = listener->session;
    struct worker *worker = session->worker;
    struct account *account = session->account;
    if (listener->accepting || listener->closed || listener->accepts_count == 0)
        return;
    if (!list_is_empty(&listener->starved_node))
        return;
    if (!accept_queue_has_turn(&worker->shared->accept_queues, &listener->member)) {
        worker_starve(worker, &listener->starved_node, 0);
        return;
    }
    if (session->sockets.used >= session->sockets.limit) {
        log_starvation(listener, "handle", (long)session->sockets.limit, "raise --max-handles");
        worker_starve(worker, &listener->starved_node, 0);
        return;
    }
    if (!account_take_turn(account, ACCOUNT_CONNECTION_RATE)) {
        log_starvation(listener, "connection of this second", (long)account->rates[ACCOUNT_CONNECTION_RATE].per_second,
                       "raise --user-max-connection-rate");
        worker_starve(worker, &listener->starved_node, RATE_RETRY_MS);
        return;
    }
    switch (session_take_socket(session)) {
    case SESSION_LACKS_HANDLE:
        account_give_back_turn(account, ACCOUNT_CONNECTION_RATE);
        log_starvation(listener, "handle of the user", (long)account->quotas[ACCOUNT_HANDLES].limit,
                       "raise --user-max-handles");
        worker_starve(worker, &listener->starved_node, 0);
        return;
    case SESSION_LACKS_DESCRIPTOR:
        account_give_back_turn(account, ACCOUNT_CONNECTION_RATE);
        log_starvation(listener, "descriptor", worker->shared->descriptors.limit,
                       "raise the limit on open files (ulimit -n)");
        worker_starve(worker, &listener->starved_node, 0);
        return;
    default:
        break;
    }
    listener->accepting = true;
    accept_queue_wait(&worker->shared->accept_queues, &listener->member);
    engine_accept(listener->socket);
}

static void stop_accepting(struct listener *listener, bool got_one)
{
    listener->accepting = false;
    accept_queue_stop_waiting(&listener->session->worker->shared->accept_queues, &listener->member, got_one);
}

static void accept_failed(struct listener *listener, int os_error)
{
    struct worker *worker = listener->session->worker;
    stop_accepting(listener, false);
    session_give_back_socket(listener->session);
    switch (os_error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        /* The system is short of something although our own budget was not. Nobody will tell when that ends. */
        log_starvation(listener, "descriptor or memory", worker->shared->descriptors.limit, log_errno_text(os_error));
        worker_starve(worker, &listener->starved_node, SHORTAGE_RETRY_MS);
        return;
    default:
        log_failure(LOG_WARNING, "session=%llu event=accept-failed handle=%lld error=\"%s\" errno=%d",
                    (unsigned long long)listener->session->number, (long long)listener->handle,
                    log_errno_text(os_error), os_error);
        session_reply(listener->session, FRAME_ACCEPT, take_accept(listener), OCHE_ERR_ACCEPT_FAILED, os_error);
        accept_next(listener);
    }
}

static void on_accepted(void *owner, int result, const struct sockaddr_storage *peer)
{
    struct listener *listener = owner;
    if (result < 0) {
        accept_failed(listener, -result);
        return;
    }
    stop_accepting(listener, true);
    int64_t request_id = take_accept(listener);
    int code = connection_accepted(listener->session, request_id, result, peer, listener->handle);
    if (code < 0) {
        close(result);
        session_give_back_socket(listener->session);
        session_reply(listener->session, FRAME_ACCEPT, request_id, code, 0);
    }
    accept_next(listener);
}

int listener_accept(struct listener *listener, int64_t request_id)
{
    int code = push_accept(listener, request_id);
    if (code == 0)
        accept_next(listener);
    return code;
}

void listener_retry(struct listener *listener)
{
    accept_next(listener);
}

/* ---- making and unmaking ---- */

static void announce(struct listener *listener, int64_t request_id)
{
    struct endpoints endpoints = {0};
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    getsockname(engine_socket_fd(listener->socket), (struct sockaddr *)&local, &length);
    address_to_endpoint(&endpoints.local, &local);
    session_reply_socket(listener->session, FRAME_LISTEN, request_id, listener->handle, &endpoints);
}

static struct listener *listener_new(struct session *session)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    listener->session = session;
    list_init(&listener->starved_node);
    return listener;
}

/* The part of listener_listen() that needs a descriptor; the caller has taken one. */
static int begin_listen(struct session *session, int64_t request_id, const struct listener_target *target,
                        int *os_error)
{
    struct accept_queues *queues = &session->worker->shared->accept_queues;
    struct listener *listener = listener_new(session);
    if (!listener)
        return OCHE_ERR_OUT_OF_MEMORY;
    int code =
        accept_queue_open(queues, &listener->member, session->account, session->worker->engine, target, os_error);
    int fd = code;
    if (fd < 0) {
        free(listener);
        return code;
    }
    code = OCHE_ERR_OUT_OF_MEMORY;
    int64_t handle = socket_table_add(&session->sockets, SOCKET_LISTENER, listener);
    if (handle == 0)
        code = session_refuse(session, ACCOUNT_HANDLES, session->sockets.limit);
    if (handle <= 0)
        goto failed;
    listener->handle = handle;
    listener->socket = engine_socket_new(&session->share->share, fd, &handlers, listener);
    if (!listener->socket) {
        socket_table_remove(&session->sockets, handle);
        goto failed;
    }
    announce(listener, request_id);
    return 0;

failed:
    accept_queue_leave(queues, &listener->member);
    free(listener);
    close(fd);
    return code;
}

int listener_listen(struct session *session, int64_t request_id, const struct listener_target *target, int *os_error)
{
    switch (session_take_socket(session)) {
    case SESSION_LACKS_HANDLE:
        return session_refuse(session, ACCOUNT_HANDLES, session->account->quotas[ACCOUNT_HANDLES].limit);
    case SESSION_LACKS_DESCRIPTOR:
        *os_error = EMFILE;
        return OCHE_ERR_LISTEN_FAILED;
    default:
        break;
    }
    int code = begin_listen(session, request_id, target, os_error);
    if (code < 0)
        session_give_back_socket(session);
    return code;
}

static bool may_listen(const struct session *session, int fd)
{
    struct address address = {.length = sizeof address.storage};
    int v6_only = 0;
    socklen_t size = sizeof v6_only;
    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.length) < 0)
        return false;
    if (address.storage.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) < 0)
        return false;
    return policy_allows_listener(&session->worker->shared->policy->listen, &address, v6_only);
}

static bool restore(struct session *session, int64_t handle, int fd)
{
    struct accept_queues *queues = &session->worker->shared->accept_queues;
    struct listener *listener = listener_new(session);
    if (!listener)
        return false;
    listener->handle = handle;
    if (!accept_queue_adopt(queues, &listener->member, session->account, session->worker->engine, fd)) {
        free(listener);
        return false;
    }
    if (socket_table_restore(&session->sockets, handle, SOCKET_LISTENER, listener) == 0) {
        listener->socket = engine_socket_new(&session->share->share, fd, &handlers, listener);
        if (listener->socket)
            return true;
        socket_table_remove(&session->sockets, handle);
    }
    accept_queue_leave(queues, &listener->member);
    free(listener);
    return false;
}

bool listener_restore(struct session *session, int64_t handle, int fd)
{
    if (!may_listen(session, fd) || session_take_socket(session) != 0)
        return false;
    if (restore(session, handle, fd))
        return true;
    session_give_back_socket(session);
    return false;
}

static void detach(struct listener *listener)
{
    struct worker *worker = listener->session->worker;
    assert(!listener->closed);
    /* A successor may have been given the socket, too, and learns by this that nobody wants it any more. */
    if (accept_queue_leave(&worker->shared->accept_queues, &listener->member) && worker->handing)
        shutdown(engine_socket_fd(listener->socket), SHUT_RDWR);
    listener->closed = true;
    list_remove(&listener->starved_node);
    socket_table_remove(&listener->session->sockets, listener->handle);
    engine_socket_close(listener->socket);
    if (listener->accepting)
        session_give_back_socket(listener->session);
    session_give_back_socket(listener->session);
    worker_socket_gone(worker);
}

static void cancel_accepts(struct listener *listener)
{
    while (listener->accepts_count > 0)
        session_reply(listener->session, FRAME_ACCEPT, take_accept(listener), OCHE_ERR_CLOSED, 0);
}

bool listener_postpone_close(struct listener *listener, int64_t request_id)
{
    struct session *session = listener->session;
    struct worker *worker = session->worker;
    if (!worker->handing || !session->follows || session->state != SESSION_OPEN ||
        !accept_queue_has_others(&worker->shared->accept_queues, &listener->member))
        return false;
    listener->closing = true;
    listener->close_request = request_id;
    cancel_accepts(listener);
    return true;
}

void listener_close(struct listener *listener)
{
    struct session *session = listener->session;
    cancel_accepts(listener);
    /* Answering may have ended the session, for want of memory, and with it this listener. */
    if (listener->closed)
        return;
    detach(listener);
    if (listener->closing)
        session_reply(session, FRAME_LISTENER_CLOSE, listener->close_request, 0, 0);
}

void listener_abandon(struct listener *listener)
{
    account_give_back(listener->session->account, ACCOUNT_REQUESTS, listener->accepts_count);
    listener->accepts_count = 0;
    detach(listener);
}

void listener_hand_over(struct listener *listener)
{
    accept_queue_hand_over(&listener->session->worker->shared->accept_queues, &listener->member);
    listener_abandon(listener);
}

static void on_closed(void *owner)
{
    struct listener *listener = owner;
    free(listener->accepts);
    free(listener);
}

static const struct engine_handlers handlers = {
    .accepted = on_accepted,
    .closed = on_closed,
};
