#include "daemon/connection.h"

#include "daemon/log.h"
#include "daemon/session.h"
#include "daemon/worker.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    FEW = 1024,    /* bytes: who sends no more at a time is served from small room */
    CHECK_MS = 20, /* before a reset: whether the peer has all that there is; the kernel does not tell by itself */
    CHECKS_MAX = LINGER_MS / CHECK_MS,
};

static const struct engine_handlers handlers;

/* ---- making and unmaking ---- */

/* Gives a connection its handle and its socket, which it takes over. */
static int attach(struct connection *connection, int fd)
{
    struct session *session = connection->session;
    int64_t handle = socket_table_add(&session->sockets, SOCKET_CONNECTION, connection);
    if (handle <= 0)
        return handle == 0 ? session_refuse(session, ACCOUNT_HANDLES, session->sockets.limit) : OCHE_ERR_OUT_OF_MEMORY;
    connection->socket = engine_socket_new(&session->share->share, fd, &handlers, connection);
    if (!connection->socket) {
        socket_table_remove(&session->sockets, handle);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    connection->handle = handle;
    return 0;
}

static struct connection *connection_new(struct session *session)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->session = session;
    list_init(&connection->waiting_node);
    return connection;
}

static void stop_timer(struct connection *connection)
{
    engine_timer_free(connection->timer);
    connection->timer = NULL;
}

static void detach(struct connection *connection)
{
    struct session *session = connection->session;
    assert(connection->state != CONNECTION_CLOSED);
    if (connection->state == CONNECTION_CONNECTING)
        account_give_back(session->account, ACCOUNT_REQUESTS, 1);
    if (connection->state != CONNECTION_LINGERING)
        socket_table_remove(&session->sockets, connection->handle);
    connection->state = CONNECTION_CLOSED;
    list_remove(&connection->waiting_node);
    stop_timer(connection);
    if (connection->outgoing.cut)
        engine_socket_reset(connection->socket);
    else
        engine_socket_close(connection->socket);
    session_give_back_socket(session);
    worker_socket_gone(session->worker);
}

void connection_abort(struct connection *connection)
{
    static const struct connection_end closed = {.code = OCHE_ERR_CLOSED};
    connection->outgoing.cut = true;
    outgoing_fail(connection, closed);
    /* Answering may have ended the session, for want of memory, and with it this connection. */
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
}

void connection_abandon(struct connection *connection, bool whole)
{
    outgoing_drop(connection);
    if (!whole)
        connection->outgoing.cut = true;
    detach(connection);
}

static void on_closed(void *owner)
{
    free(owner);
}

/* ---- lingering ---- */

/* True: a reset would take back bytes that the kernel has, and that the peer has not. They are those before what is
 * missing. tcp(7): SIOCOUTQ tells how many there are; and a connection that is broken has no peer any more. */
static bool is_delivering(const struct connection *connection)
{
    int fd = engine_socket_fd(connection->socket);
    int left = 0;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return connection->outgoing.cut && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
           ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0;
}

/* All is sent, or there is no more time. */
static void end_lingering(struct connection *connection)
{
    struct session *session = connection->session;
    if (!connection->outgoing.first && connection->checks < CHECKS_MAX && is_delivering(connection)) {
        connection->checks++;
        engine_timer_set(connection->timer, CHECK_MS);
        return;
    }
    connection_abandon(connection, true);
    session_linger_less(session);
}

static void on_linger_timeout(void *owner)
{
    struct connection *connection = owner;
    if (connection->outgoing.first)
        log_failure(LOG_INFO, "session=%llu event=linger-timeout handle=%lld",
                    (unsigned long long)connection->session->number, (long long)connection->handle);
    end_lingering(connection);
}

void connection_close(struct connection *connection)
{
    struct session *session = connection->session;
    if (!connection->outgoing.first && !is_delivering(connection)) {
        detach(connection);
        return;
    }
    connection->timer = engine_timer_new(session->worker->engine, on_linger_timeout, connection);
    if (!connection->timer) {
        connection_abort(connection);
        return;
    }
    engine_timer_set(connection->timer, connection->outgoing.first ? LINGER_MS : CHECK_MS);
    socket_table_remove(&session->sockets, connection->handle);
    connection->state = CONNECTION_LINGERING;
    list_remove(&connection->waiting_node);
    list_append(&session->lingering, &connection->waiting_node);
    outgoing_linger(connection);
}

/* ---- connecting and accepting ---- */

/* Answers the request that made the connection. */
static void announce(struct connection *connection, unsigned opcode, int64_t request_id,
                     const struct sockaddr_storage *peer)
{
    struct endpoints endpoints = {0};
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;

    getsockname(engine_socket_fd(connection->socket), (struct sockaddr *)&local, &length);
    address_to_endpoint(&endpoints.local, &local);
    address_to_endpoint(&endpoints.remote, peer);
    connection->state = CONNECTION_OPEN;
    session_reply_socket(connection->session, opcode, request_id, connection->handle, &endpoints);
}

static void connect_failed(struct connection *connection, int code, int os_error)
{
    struct session *session = connection->session;
    log_failure(LOG_INFO, "session=%llu event=connect-failed code=%s error=\"%s\" errno=%d",
                (unsigned long long)session->number, oche_errors_name(code), log_errno_text(os_error), os_error);
    session_reply(session, FRAME_CONNECT, connection->connect_request, code, os_error);
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
}

static void on_connected(void *owner, int result)
{
    struct connection *connection = owner;
    if (result < 0) {
        connect_failed(connection, OCHE_ERR_CONNECT_FAILED, -result);
        return;
    }
    list_remove(&connection->waiting_node);
    stop_timer(connection);
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    if (getpeername(engine_socket_fd(connection->socket), (struct sockaddr *)&peer, &length) < 0) {
        /* Already reset. */
        connect_failed(connection, OCHE_ERR_CONNECT_FAILED, errno);
        return;
    }
    statistics_add(&connection->session->worker->shared->statistics.connections_made, 1);
    account_give_back(connection->session->account, ACCOUNT_REQUESTS, 1);
    announce(connection, FRAME_CONNECT, connection->connect_request, &peer);
}

static void on_connect_timeout(void *owner)
{
    connect_failed(owner, OCHE_ERR_TIMED_OUT, ETIMEDOUT);
}

static int bind_source(int fd, const struct connection_target *target)
{
    static const int on = 1;
    const struct sockaddr *source = (const struct sockaddr *)&target->source.storage;
    struct endpoint endpoint;
    if (target->source.length == 0)
        return 0;
    address_to_endpoint(&endpoint, &target->source.storage);
    if (endpoint.port != 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    else
        /* ip(7): leaves the choice of the port to connect(), which knows the destination, so that the ports of an
         * address can be used once for each destination instead of once. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, source, target->source.length) == 0 ? 0 : -errno;
}

/* The part of connection_connect() that makes something; the caller has taken what it takes. */
static int begin_connect(struct session *session, int64_t request_id, const struct connection_target *target,
                         int *os_error)
{
    int code;
    struct connection *connection = NULL;
    int fd = socket(target->remote.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *os_error = errno;
        return OCHE_ERR_CONNECT_FAILED;
    }
    int r = bind_source(fd, target);
    if (r < 0) {
        *os_error = -r;
        code = OCHE_ERR_BIND_FAILED;
        goto failed;
    }
    code = OCHE_ERR_OUT_OF_MEMORY;
    connection = connection_new(session);
    if (!connection)
        goto failed;
    connection->connect_request = request_id;
    if (target->timeout_ms) {
        connection->timer = engine_timer_new(session->worker->engine, on_connect_timeout, connection);
        if (!connection->timer)
            goto failed;
        engine_timer_set(connection->timer, target->timeout_ms);
    }
    code = attach(connection, fd);
    if (code < 0)
        goto failed;
    list_append(&session->connecting, &connection->waiting_node);
    engine_connect(connection->socket, (const struct sockaddr *)&target->remote.storage, target->remote.length);
    return 0;

failed:
    if (connection)
        stop_timer(connection);
    free(connection);
    close(fd);
    return code;
}

static int connect_with_socket(struct session *session, int64_t request_id, const struct connection_target *target,
                               int *os_error)
{
    switch (session_take_socket(session)) {
    case SESSION_LACKS_HANDLE:
        return session_refuse(session, ACCOUNT_HANDLES, session->account->quotas[ACCOUNT_HANDLES].limit);
    case SESSION_LACKS_DESCRIPTOR:
        *os_error = EMFILE;
        return OCHE_ERR_CONNECT_FAILED;
    default:
        break;
    }
    int code = begin_connect(session, request_id, target, os_error);
    if (code < 0)
        session_give_back_socket(session);
    return code;
}

int connection_connect(struct session *session, int64_t request_id, const struct connection_target *target,
                       int *os_error)
{
    struct account *account = session->account;
    if (!account_take_turn(account, ACCOUNT_CONNECTION_RATE))
        return session_refuse_turn(session, ACCOUNT_CONNECTION_RATE);
    if (!account_take(account, ACCOUNT_REQUESTS, 1))
        return session_refuse(session, ACCOUNT_REQUESTS, account->quotas[ACCOUNT_REQUESTS].limit);
    int code = connect_with_socket(session, request_id, target, os_error);
    if (code < 0)
        account_give_back(account, ACCOUNT_REQUESTS, 1);
    return code;
}

void connection_cancel(struct session *session, int64_t connect_request)
{
    for (struct list *node = session->connecting.next; node != &session->connecting; node = node->next) {
        struct connection *connection = list_entry(node, struct connection, waiting_node);
        if (connection->connect_request == connect_request) {
            session_reply(session, FRAME_CONNECT, connect_request, OCHE_ERR_CLOSED, ECANCELED);
            if (connection->state != CONNECTION_CLOSED)
                detach(connection);
            return;
        }
    }
}

int connection_accepted(struct session *session, int64_t request_id, int fd, const struct sockaddr_storage *peer,
                        int64_t listener)
{
    struct connection *connection = connection_new(session);
    if (!connection)
        return OCHE_ERR_OUT_OF_MEMORY;
    int code = attach(connection, fd);
    if (code < 0) {
        free(connection);
        return code;
    }
    connection->accepted_by = listener;
    statistics_add(&session->worker->shared->statistics.connections_accepted, 1);
    announce(connection, FRAME_ACCEPT, request_id, peer);
    return 0;
}

/* ---- reading ---- */

static void start_receiving(struct connection *connection)
{
    if (connection->receiving || connection->read_ended || connection->credit <= 0)
        return;
    connection->receiving = true;
    engine_recv(connection->socket);
}

bool connection_grant(struct connection *connection, int64_t credit)
{
    if (credit <= 0 || credit > FRAME_CREDIT_MAX - connection->credit)
        return false;
    connection->credit += credit;
    start_receiving(connection);
    return true;
}

void connection_retry_receive(struct connection *connection)
{
    engine_recv_retry(connection->socket);
}

static uint8_t *on_receive_buffer(void *owner, size_t *size)
{
    struct connection *connection = owner;
    struct session *session = connection->session;
    /* What still comes while the connection lingers stays in the kernel, which resets the connection for it when it is
     * closed, as it does for everybody who closes without having read. */
    if (connection->state == CONNECTION_LINGERING)
        return NULL;
    uint8_t *room = lane_room(&session->lane, connection->expects_many, size);
    if (!room) {
        list_append(&session->waiting_for_room, &connection->waiting_node);
        return NULL;
    }
    if ((int64_t)*size > connection->credit)
        *size = (size_t)connection->credit;
    connection->offered = (uint32_t)*size;
    return room;
}

static void end_reading(struct connection *connection, int os_error)
{
    struct session *session = connection->session;
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = connection->handle,
        .value = os_error ? OCHE_ERR_READ_FAILED : OCHE_ERR_CLOSED,
        .os_error = (uint16_t)os_error,
    };
    connection->read_ended = true;
    if (!os_error)
        engine_watch_break(connection->socket);
    else
        log_failure(LOG_INFO, "session=%llu event=read-failed handle=%lld error=\"%s\" errno=%d",
                    (unsigned long long)session->number, (long long)connection->handle, log_errno_text(os_error),
                    os_error);
    session_reply_frame(session, &frame, NULL, NULL);
}

static void on_received(void *owner, ssize_t result)
{
    struct connection *connection = owner;
    struct session *session = connection->session;
    connection->receiving = false;
    if (result <= 0) {
        /* When a send has met the reset first, the kernel reports it to nobody else: what recv calls the end of the
         * stream is where it was cut off. */
        end_reading(connection, result < 0 ? (int)-result : connection->broken);
        return;
    }
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = connection->handle,
        .value = result,
        .payload_length = (uint32_t)result,
    };
    connection->credit -= result;
    /* With some inertia, so that messages of a few KiB keep coming whole. */
    if ((uint32_t)result == connection->offered)
        connection->expects_many = true;
    else if (result < FEW)
        connection->expects_many = false;
    statistics_add(&session->worker->shared->statistics.bytes_received, (uint64_t)result);
    if (lane_put_room(&session->lane, &frame) < 0)
        session_end(session, "no memory for data", ENOMEM);
    else
        start_receiving(connection);
}

/* ---- sending ---- */

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    return outgoing_vectors(owner, vectors, max);
}

static void on_sent(void *owner, ssize_t result)
{
    struct connection *connection = owner;
    outgoing_sent(connection, result);
    if (connection->state == CONNECTION_LINGERING && !connection->outgoing.first)
        end_lingering(connection);
}

static void on_broke(void *owner, int os_error)
{
    outgoing_break(owner, os_error);
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .send_vectors = on_send_vectors,
    .sent = on_sent,
    .connected = on_connected,
    .broke = on_broke,
    .closed = on_closed,
};
