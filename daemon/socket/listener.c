#include "daemon/socket/listener.h"

#include "daemon/handover/handover_items.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/session/tenant.h"
#include "daemon/socket/connection.h"
#include "daemon/socket/policy.h"
#include "daemon/socket/tls_connection.h"
#include "daemon/tls/tls_context.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    HANDSHAKES_MAX = 256, /* under way at a listener, or done and not asked for */
    STARVATION_LOG_INTERVAL_S = 60,
    SHORTAGE_RETRY_MS = 1000, /* when the system is short of something */
    RATE_RETRY_MS = 10,       /* when connections come too often */
};

/* An ACCEPT that waits for a connection. */
struct accept {
    struct list node; /* in listener->accepts */
    struct listener *listener;
    struct request request;
};

static const struct engine_handlers handlers;

static struct listener *listener_of(struct socket *socket)
{
    return (struct listener *)socket; /* its first member */
}

/* ---- requests that wait ---- */

static void stop_accepting(struct listener *listener, bool got_one)
{
    listener->accepting = false;
    accept_queue_stop_waiting(listener->socket.session->host->daemon->accept_queues, &listener->member, got_one);
}

/* If no request waits any more, the connections that come stay with the system, and what was taken for the next one is
 * given back. */
static void stop_if_none_waits(struct listener *listener)
{
    struct session *session = listener->socket.session;
    if (listener->closed || !listener->accepting || listener->accepts_count > 0)
        return;
    stop_accepting(listener, false);
    engine_accept_withdraw(listener->socket.engine_socket);
    account_give_back_turn(session->account, ACCOUNT_CONNECTION_RATE);
    socket_give_back_charge(session);
    starvation_relieve(&session->host->starvation);
}

static void cancel_accept(struct request *request)
{
    struct accept *accept = list_entry(request, struct accept, request);
    struct listener *listener = accept->listener;
    list_remove(&accept->node);
    listener->accepts_count--;
    request_complete(request, OCHE_ERR_CLOSED, ECANCELED);
    free(accept);
    stop_if_none_waits(listener);
}

static int add_accept(struct listener *listener, struct request *request)
{
    if (listener->accepts_count == ACCEPTS_PER_LISTENER)
        return OCHE_ERR_OUT_OF_MEMORY;
    struct accept *accept = malloc(sizeof *accept);
    if (!accept)
        return OCHE_ERR_OUT_OF_MEMORY;
    accept->listener = listener;
    int code = request_hold(request, &accept->request, cancel_accept);
    if (code < 0) {
        free(accept);
        return code;
    }
    list_append(&listener->accepts, &accept->node);
    listener->accepts_count++;
    return 0;
}

/* The one that has waited longest, which the caller frees. */
static struct accept *take_accept(struct listener *listener)
{
    listener->accepts_count--;
    return list_entry(list_take_first(&listener->accepts), struct accept, node);
}

static void complete_accept(struct listener *listener, int code, int os_error)
{
    struct accept *accept = take_accept(listener);
    request_complete(&accept->request, code, os_error);
    free(accept);
}

/* ---- accepting ---- */

/* One line when it begins to matter, not one for every connection that has to wait. */
static void log_starvation(struct listener *listener, const char *lacking, long limit, const char *advice)
{
    struct daemon_state *daemon = listener->socket.session->host->daemon;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long last = atomic_load(&daemon->starvation_logged);
    if (last != 0 && now.tv_sec - last < STARVATION_LOG_INTERVAL_S)
        return;
    if (!atomic_compare_exchange_strong(&daemon->starvation_logged, &last, (long long)now.tv_sec + 1))
        return;
    log_line(
        LOG_WARNING,
        "session=%llu event=accept-paused why=\"no %s is left\" limit=%ld advice=\"accept goes on when sockets are "
        "closed; %s\"",
        (unsigned long long)listener->socket.session->number, lacking, limit, advice);
}

static void wait_for(struct listener *listener, unsigned delay_ms)
{
    starvation_wait(&listener->socket.session->host->starvation, &listener->starved, delay_ms);
}

static void accept_next(struct listener *listener)
{
    struct session *session = listener->socket.session;
    struct daemon_state *daemon = session->host->daemon;
    struct account *account = session->account;
    if (listener->accepting || listener->closed || listener->accepts_count == 0 ||
        (listener->unclaimed_count >= HANDSHAKES_MAX && list_is_empty(&listener->handshakes)))
        return;
    if (!list_is_empty(&listener->starved.node))
        return;
    if (!accept_queue_has_turn(daemon->accept_queues, &listener->member)) {
        wait_for(listener, 0);
        return;
    }
    if (session->sockets.used >= session->sockets.limit) {
        log_starvation(listener, "handle", (long)session->sockets.limit, "raise --max-handles");
        wait_for(listener, 0);
        return;
    }
    if (!account_take_turn(account, ACCOUNT_CONNECTION_RATE)) {
        log_starvation(listener, "connection of this second", (long)account->rates[ACCOUNT_CONNECTION_RATE].per_second,
                       "raise --user-max-connection-rate");
        wait_for(listener, RATE_RETRY_MS);
        return;
    }
    switch (socket_charge(session)) {
    case SOCKET_LACKS_HANDLE:
        account_give_back_turn(account, ACCOUNT_CONNECTION_RATE);
        log_starvation(listener, "handle of the user", (long)account->quotas[ACCOUNT_HANDLES].limit,
                       "raise --user-max-handles");
        wait_for(listener, 0);
        return;
    case SOCKET_LACKS_DESCRIPTOR:
        account_give_back_turn(account, ACCOUNT_CONNECTION_RATE);
        log_starvation(listener, "descriptor", daemon->descriptors.limit, "raise the limit on open files (ulimit -n)");
        wait_for(listener, 0);
        return;
    default:
        break;
    }
    listener->accepting = true;
    accept_queue_wait(daemon->accept_queues, &listener->member);
    engine_accept(listener->socket.engine_socket);
}

static void retry(struct starved *starved)
{
    accept_next(list_entry(starved, struct listener, starved));
}

static void accept_failed(struct listener *listener, int os_error)
{
    struct session *session = listener->socket.session;
    stop_accepting(listener, false);
    socket_give_back_charge(session);
    switch (os_error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        /* The system is short of something although our own budget was not. Nobody will tell when that ends. */
        log_starvation(listener, "descriptor or memory", session->host->daemon->descriptors.limit,
                       errno_text(os_error));
        wait_for(listener, SHORTAGE_RETRY_MS);
        return;
    default:
        log_failure(LOG_WARNING, "session=%llu event=accept-failed handle=%lld error=\"%s\" errno=%d",
                    (unsigned long long)session->number, (long long)listener->socket.handle, errno_text(os_error),
                    os_error);
        if (listener->accepts_count > 0) /* with TLS the last one may have got another connection meanwhile */
            complete_accept(listener, OCHE_ERR_ACCEPT_FAILED, os_error);
        accept_next(listener);
    }
}

/* ---- handshakes ---- */

static struct connection *take_ready(struct listener *listener)
{
    listener->unclaimed_count--;
    return list_entry(list_take_first(&listener->ready), struct connection, securing.waits);
}

static void on_secured(void *owner, struct connection *connection, int result)
{
    struct listener *listener = owner;
    list_remove(&connection->securing.waits);
    if (result < 0) {
        listener->unclaimed_count--;
        connection_drop(connection);
    } else if (listener->accepts_count == 0) {
        list_append(&listener->ready, &connection->securing.waits);
    } else {
        struct accept *accept = take_accept(listener);
        listener->unclaimed_count--;
        tls_connection_hand_over(connection, &accept->request);
        free(accept);
    }
    accept_next(listener);
}

/* Peers that begin a handshake and do not go on shut nobody out: the one that has taken longest makes place. */
static void bound_handshakes(struct listener *listener)
{
    struct list *oldest = listener->unclaimed_count > HANDSHAKES_MAX ? list_take_first(&listener->handshakes) : NULL;
    if (!oldest)
        return;
    listener->unclaimed_count--;
    connection_drop(list_entry(oldest, struct connection, securing.waits));
}

static void begin_handshake(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct session *session = listener->socket.session;
    int code;
    struct connection *connection = connection_take(session, fd, peer, listener->socket.handle, &code);
    if (connection) {
        list_append(&listener->handshakes, &connection->securing.waits);
        listener->unclaimed_count++;
        tls_connection_accept(connection, listener->tls, on_secured, listener);
        bound_handshakes(listener);
    } else {
        log_failure(LOG_WARNING, "session=%llu event=accept-failed handle=%lld code=%s",
                    (unsigned long long)session->number, (long long)listener->socket.handle, oche_errors_name(code));
        close(fd);
        socket_give_back_charge(session);
    }
    accept_next(listener);
}

/* What nobody has asked for is lost with the listener, as the system's backlog is. */
static void drop_unclaimed(struct listener *listener)
{
    struct list *node;
    while ((node = list_take_first(&listener->handshakes)) || (node = list_take_first(&listener->ready)))
        connection_drop(list_entry(node, struct connection, securing.waits));
    listener->unclaimed_count = 0;
    tls_context_free(listener->tls);
    listener->tls = NULL;
}

/* ---- connections that come ---- */

static void on_accepted(void *owner, int result, const struct sockaddr_storage *peer)
{
    struct listener *listener = owner;
    if (result < 0) {
        accept_failed(listener, -result);
        return;
    }
    stop_accepting(listener, true);
    if (listener->tls) {
        begin_handshake(listener, result, peer);
        return;
    }
    struct accept *accept = take_accept(listener);
    int code;
    struct connection *connection =
        connection_take(listener->socket.session, result, peer, listener->socket.handle, &code);
    if (connection) {
        connection_accepted(connection, &accept->request);
    } else {
        close(result);
        socket_give_back_charge(listener->socket.session);
        request_complete(&accept->request, code, 0);
    }
    free(accept);
    accept_next(listener);
}

static int accept_for_client(struct socket *socket, struct request *request)
{
    struct listener *listener = listener_of(socket);
    if (!list_is_empty(&listener->ready)) {
        tls_connection_hand_over(take_ready(listener), request);
        return 0;
    }
    int code = add_accept(listener, request);
    if (code == 0)
        accept_next(listener);
    return code;
}

/* ---- making and unmaking ---- */

static struct listener *listener_new(struct session *session)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    socket_init(&listener->socket, &listener_kind, session);
    list_init(&listener->accepts);
    list_init(&listener->handshakes);
    list_init(&listener->ready);
    listener->starved.retry = retry;
    list_init(&listener->starved.node);
    return listener;
}

/* Waits for connections from now on; the listener has its handle. Takes over `fd`. 0 or a code. */
static int attach(struct listener *listener, int fd)
{
    struct socket *socket = &listener->socket;
    socket->engine_socket = engine_socket_new(&socket->session->tenant->slice, fd, &handlers, listener);
    if (!socket->engine_socket) {
        socket_leave_table(socket);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    socket->open = true;
    return 0;
}

static void complete_listen(struct listener *listener, struct request *request)
{
    struct endpoints endpoints = {0};
    struct sockaddr_storage local;
    (void)engine_socket_name(listener->socket.engine_socket, &local);
    address_to_endpoint(&endpoints.local, &local);
    request_complete_with_socket(request, listener->socket.handle, &endpoints, NULL);
}

/* The part of listener_listen() that makes something; the user was charged for a socket. */
static int begin_listen(struct request *request, const struct listener_target *target, int *os_error)
{
    struct session *session = request->session;
    struct accept_queues *queues = session->host->daemon->accept_queues;
    struct listener *listener = listener_new(session);
    if (!listener)
        return OCHE_ERR_OUT_OF_MEMORY;
    int fd = accept_queue_open(queues, &listener->member, session->account, session->host->engine, target, os_error);
    if (fd < 0) {
        free(listener);
        return fd;
    }
    int code = socket_enter_table(&listener->socket);
    if (code == 0)
        code = attach(listener, fd);
    if (code < 0) {
        accept_queue_leave(queues, &listener->member);
        free(listener);
        close(fd);
        return code;
    }
    if (target->tls)
        listener->tls = tls_context_share(target->tls);
    complete_listen(listener, request);
    return 0;
}

int listener_listen(struct request *request, const struct listener_target *target, int *os_error)
{
    struct session *session = request->session;
    switch (socket_charge(session)) {
    case SOCKET_LACKS_HANDLE:
        return session_refuse(session, ACCOUNT_HANDLES, session->account->quotas[ACCOUNT_HANDLES].limit);
    case SOCKET_LACKS_DESCRIPTOR:
        *os_error = EMFILE;
        return OCHE_ERR_LISTEN_FAILED;
    default:
        break;
    }
    int code = begin_listen(request, target, os_error);
    if (code < 0)
        socket_give_back_charge(session);
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
    return policy_allows_listener(&session->host->daemon->policy->listen, &address, v6_only);
}

static bool restore(struct session *session, int64_t handle, int fd)
{
    struct accept_queues *queues = session->host->daemon->accept_queues;
    struct listener *listener = listener_new(session);
    if (!listener)
        return false;
    if (!accept_queue_adopt(queues, &listener->member, session->account, session->host->engine, fd)) {
        free(listener);
        return false;
    }
    listener->socket.handle = handle;
    if (socket_table_restore(&session->sockets, handle, &listener->socket) == 0 && attach(listener, fd) == 0)
        return true;
    accept_queue_leave(queues, &listener->member);
    free(listener);
    return false;
}

bool listener_restore(struct session *session, int64_t handle, int fd)
{
    if (!may_listen(session, fd) || socket_charge(session) != 0)
        return false;
    if (restore(session, handle, fd))
        return true;
    socket_give_back_charge(session);
    return false;
}

static void detach(struct listener *listener)
{
    struct socket *socket = &listener->socket;
    struct session_host *host = socket->session->host;
    assert(!listener->closed);
    /* A successor may have been given the socket, too, and learns by this that nobody wants it any more. */
    if (accept_queue_leave(host->daemon->accept_queues, &listener->member) && host->phase == HANDOVER_OFFERED)
        (void)engine_socket_shut_down(socket->engine_socket, SHUT_RDWR);
    listener->closed = true;
    drop_unclaimed(listener);
    list_remove(&listener->starved.node);
    socket_leave_table(socket);
    engine_socket_close(socket->engine_socket);
    if (listener->accepting)
        socket_give_back_charge(socket->session);
    socket_give_back_charge(socket->session);
    starvation_relieve(&host->starvation);
}

/* Held requests end with CLOSED, and then a close that was postponed with 0. The object lives to the end of the turn.
 */
static void close_listener(struct listener *listener)
{
    while (listener->accepts_count > 0)
        complete_accept(listener, OCHE_ERR_CLOSED, 0);
    /* Answering may have ended the session, for want of memory, and with it this listener. */
    if (listener->closed)
        return;
    detach(listener);
    if (listener->closes.held)
        request_complete(&listener->closes, 0, 0);
}

/* Nothing is answered. */
static void abandon_listener(struct listener *listener)
{
    while (listener->accepts_count > 0) {
        struct accept *accept = take_accept(listener);
        request_drop(&accept->request);
        free(accept);
    }
    if (listener->closes.held)
        request_drop(&listener->closes);
    detach(listener);
}

static void abandon(struct socket *socket, bool whole)
{
    (void)whole; /* a listener has no bytes */
    abandon_listener(listener_of(socket));
}

static void orphan(struct socket *socket)
{
    abandon_listener(listener_of(socket));
}

static void drain(struct socket *socket)
{
    close_listener(listener_of(socket));
}

static void on_closed(void *owner)
{
    free(owner);
}

/* ---- handover ---- */

/* A listener that is being offered to a successor cannot be closed when others share its socket: the successor would
 * not learn of it. Its close waits until it is settled who has the listener. When the successor has it, the close is
 * not answered at all: the client asks the successor then. */
static bool must_postpone_close(const struct listener *listener)
{
    const struct session *session = listener->socket.session;
    const struct session_host *host = session->host;
    return host->phase == HANDOVER_OFFERED && session->follows && session->state == SESSION_OPEN &&
           accept_queue_has_others(host->daemon->accept_queues, &listener->member);
}

static void close_for_client(struct socket *socket, struct request *request)
{
    struct listener *listener = listener_of(socket);
    if (!must_postpone_close(listener)) {
        close_listener(listener);
        request_complete(request, 0, 0);
        return;
    }
    socket->open = false;
    request_hold_anyway(request, &listener->closes, NULL);
    while (listener->accepts_count > 0)
        complete_accept(listener, OCHE_ERR_CLOSED, 0);
    stop_if_none_waits(listener);
}

/* The successor's descriptor is one of its own, for this listener may be closed at any time. */
static int offer(struct socket *socket, struct handover_items *items)
{
    if (listener_of(socket)->tls)
        return 0; /* the successor does not have the context */
    int fd = engine_socket_duplicate(socket->engine_socket);
    if (fd < 0)
        return fd;
    int r = handover_items_add(items, socket->session->token, socket->handle, fd);
    if (r < 0)
        close(fd);
    return r;
}

static void keep(struct socket *socket)
{
    struct listener *listener = listener_of(socket);
    if (listener->closes.held)
        close_listener(listener);
}

static void give(struct socket *socket)
{
    struct listener *listener = listener_of(socket);
    accept_queue_hand_over(socket->session->host->daemon->accept_queues, &listener->member);
    abandon_listener(listener);
}

static const struct engine_handlers handlers = {
    .accepted = on_accepted,
    .closed = on_closed,
};

const struct socket_kind listener_kind = {
    .name = "listener",
    .operations = 1u << FRAME_ACCEPT | 1u << FRAME_LISTENER_CLOSE,
    .accept = accept_for_client,
    .close = close_for_client,
    .orphan = orphan,
    .abandon = abandon,
    .drain = drain,
    .offer = offer,
    .keep = keep,
    .give = give,
};
