#include "daemon/socket/connection.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/session/tenant.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FEW = 1024,    /* bytes: who sends no more at a time is served from small room */
    CHECK_MS = 20, /* before a reset: whether the peer has all that there is; the kernel does not tell by itself */
    CHECKS_MAX = LINGER_MS / CHECK_MS,
};

static const struct stream_user user;

struct connection *connection_of(struct socket *socket)
{
    return (struct connection *)socket; /* its first member */
}

/* ---- making and unmaking ---- */

/* Gives a connection its handle and its descriptor, which it takes over. */
static int attach(struct connection *connection, int fd)
{
    struct socket *socket = &connection->socket;
    int code = socket_enter_table(socket);
    if (code < 0)
        return code;
    if (socket_stream_init(&connection->lowest, &socket->session->tenant->slice, fd, &user, connection) < 0) {
        socket_leave_table(socket);
        return OCHE_ERR_OUT_OF_MEMORY;
    }
    socket->engine_socket = connection->lowest.socket;
    connection->outgoing.stream = connection->stream = &connection->lowest.stream;
    return 0;
}

static struct connection *connection_new(struct session *session)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    socket_init(&connection->socket, &connection_kind, session);
    list_init(&connection->securing.waits);
    connection->outgoing.socket = &connection->socket;
    return connection;
}

/* Until this was called, the system may have the room of a receive and the bytes of a send. */
static void shut_stream(struct connection *connection)
{
    if (connection->is_shut)
        return;
    connection->is_shut = true;
    stream_close(connection->stream, connection->outgoing.cut ? STREAM_END_RESET : STREAM_END_CLOSE);
    lane_give_back(&connection->socket.session->lane, &connection->room);
}

static void detach(struct connection *connection)
{
    struct socket *socket = &connection->socket;
    struct session *session = socket->session;
    assert(connection->state != CONNECTION_CLOSED);
    if (connection->state == CONNECTION_CONNECTING)
        request_drop(&connection->connects);
    request_drop(&connection->pauses);
    request_drop(&connection->securing.request);
    if (connection->state != CONNECTION_LINGERING)
        socket_leave_table(socket);
    connection->state = CONNECTION_CLOSED;
    list_remove(&socket->node);
    list_remove(&connection->securing.waits);
    engine_timer_deinit(&connection->timer);
    shut_stream(connection);
    socket_give_back_charge(session);
    starvation_relieve(&session->host->starvation);
}

/* What waits for the connection ends with it. That may end the session, and with it the connection. */
static void end_requests(struct connection *connection)
{
    if (connection->pauses.held)
        request_complete(&connection->pauses, OCHE_ERR_CLOSED, 0);
    if (connection->state != CONNECTION_CLOSED && connection->securing.request.held)
        request_complete(&connection->securing.request, OCHE_ERR_CLOSED, 0);
}

static void abort_connection(struct connection *connection)
{
    static const struct write_failure closed = {.code = OCHE_ERR_CLOSED};
    connection->outgoing.cut = true;
    shut_stream(connection);
    end_requests(connection);
    outgoing_fail(&connection->outgoing, closed);
    /* Answering may have ended the session, for want of memory, and with it this connection. */
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
}

static void abort_socket(struct socket *socket)
{
    abort_connection(connection_of(socket));
}

/* The peer sees a reset if bytes are dropped, or if they may have been. */
static void abandon(struct socket *socket, bool whole)
{
    struct connection *connection = connection_of(socket);
    if (connection->outgoing.first || !whole)
        connection->outgoing.cut = true;
    shut_stream(connection);
    outgoing_drop(&connection->outgoing);
    detach(connection);
}

static void cut(struct socket *socket)
{
    connection_of(socket)->outgoing.cut = true;
}

static void on_closed(void *owner)
{
    struct connection *connection = owner;
    SSL_free(connection->securing.ssl);
    free(connection);
}

/* ---- lingering ---- */

bool connection_has_filter(const struct connection *connection)
{
    return connection->stream != &connection->lowest.stream;
}

/* A filter has words for the end of the stream, and closing does not say them. */
static void say_farewell(struct connection *connection)
{
    struct outgoing *outgoing = &connection->outgoing;
    if (!connection_has_filter(connection) || connection->state == CONNECTION_CONNECTING || outgoing->first ||
        outgoing->cut || outgoing->shut_down)
        return;
    outgoing->shut_down = true;
    (void)stream_shut_down(connection->stream); /* what cannot be said to a broken connection is not missed */
}

/* True: the end of the stream is not with the system yet; or a reset would take back bytes that the kernel has, and
 * that the peer has not. They are those before what is missing. tcp(7): SIOCOUTQ tells how many there are; and a
 * connection that is broken has no peer any more. */
static bool is_delivering(const struct connection *connection)
{
    const struct engine_socket *socket = connection->socket.engine_socket;
    struct sockaddr_storage peer;
    if (!connection->outgoing.cut)
        return stream_holds(connection->stream);
    return engine_socket_peer(socket, &peer) == 0 && engine_socket_unsent(socket) > 0;
}

/* All is sent, or there is no more time. */
static void end_lingering(struct connection *connection)
{
    struct session *session = connection->socket.session;
    say_farewell(connection);
    if (!connection->outgoing.first && connection->checks < CHECKS_MAX && is_delivering(connection)) {
        connection->checks++;
        engine_timer_set(&connection->timer, CHECK_MS);
        return;
    }
    abandon(&connection->socket, true);
    session_linger_less(session);
}

static void on_linger_timeout(void *owner)
{
    struct connection *connection = owner;
    if (connection->outgoing.first)
        log_failure(LOG_INFO, "session=%llu event=linger-timeout handle=%lld",
                    (unsigned long long)connection->socket.session->number, (long long)connection->socket.handle);
    end_lingering(connection);
}

/* The connection lingers if it has something to send; else the descriptor is closed, and the object lives to the end of
 * the turn. */
static void close_connection(struct connection *connection)
{
    struct socket *socket = &connection->socket;
    struct session *session = socket->session;
    end_requests(connection);
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (connection->state == CONNECTION_CONNECTING) {
        detach(connection); /* nothing was written, and a handshake is of no use to anybody */
        return;
    }
    say_farewell(connection);
    if (!connection->outgoing.first && !is_delivering(connection)) {
        detach(connection);
        return;
    }
    engine_timer_init(&connection->timer, session->host->engine, on_linger_timeout, connection);
    engine_timer_set(&connection->timer, connection->outgoing.first ? LINGER_MS : CHECK_MS);
    socket_leave_table(socket);
    connection->state = CONNECTION_LINGERING;
    list_remove(&socket->node);
    list_append(&session->lingering, &socket->node);
    outgoing_linger(&connection->outgoing);
}

static void orphan(struct socket *socket)
{
    close_connection(connection_of(socket));
}

static void close_for_client(struct socket *socket, struct request *request)
{
    close_connection(connection_of(socket));
    request_complete(request, 0, 0);
}

void connection_close_accepted(struct session *session, int64_t listener)
{
    uint32_t index = 0;
    struct socket *socket;
    while ((socket = socket_table_next(&session->sockets, &index))) {
        if (socket->kind == &connection_kind && connection_of(socket)->accepted_by == listener)
            close_connection(connection_of(socket));
    }
}

/* ---- connecting and accepting ---- */

/* The connection is there: completes the request that asked for it. */
static void open_connection(struct connection *connection, struct request *request, const char *why)
{
    struct socket *socket = &connection->socket;
    struct endpoints endpoints = {0};
    struct sockaddr_storage local;

    (void)engine_socket_name(socket->engine_socket, &local);
    address_to_endpoint(&endpoints.local, &local);
    endpoints.remote = connection->peer;
    endpoints.no_delay = connection_has_filter(connection); /* see daemon/socket/tls_connection.c */
    connection->state = CONNECTION_OPEN;
    socket->open = true;
    request_complete_with_socket(request, socket->handle, &endpoints, why);
}

void connection_connect_failed(struct connection *connection, int code, int os_error, const char *why)
{
    log_failure(LOG_INFO, "session=%llu event=connect-failed code=%s error=\"%s\" errno=%d",
                (unsigned long long)connection->socket.session->number, oche_errors_name(code),
                why ? why : errno_text(os_error), os_error);
    if (why)
        request_complete_with_words(&connection->connects, code, os_error, why);
    else
        request_complete(&connection->connects, code, os_error);
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
}

void connection_connected(struct connection *connection, const char *why)
{
    struct sockaddr_storage peer;
    int r = engine_socket_peer(connection->socket.engine_socket, &peer);
    if (r < 0) {
        /* Already reset. */
        connection_connect_failed(connection, OCHE_ERR_CONNECT_FAILED, -r, NULL);
        return;
    }
    statistics_add(&connection->socket.session->host->daemon->statistics.connections_made, 1);
    address_to_endpoint(&connection->peer, &peer);
    open_connection(connection, &connection->connects, why);
}

void connection_put_on(struct connection *connection, struct stream *filter, connection_opened *opened)
{
    connection->outgoing.stream = connection->stream = filter;
    connection->opened = opened;
}

void connection_fail(struct connection *connection, struct write_failure failure)
{
    connection->read_ended = true;
    connection->outgoing.failure = failure;
    connection->outgoing.cut = true;
    outgoing_fail(&connection->outgoing, failure);
}

static void on_opened(void *owner, int result)
{
    struct connection *connection = owner;
    if (connection->opened)
        connection->opened(connection, result);
    else if (result < 0)
        connection_connect_failed(connection, OCHE_ERR_CONNECT_FAILED, -result, NULL);
    else
        connection_connected(connection, NULL);
}

static void cancel_connect(struct request *request)
{
    struct connection *connection = list_entry(request, struct connection, connects);
    request_complete(request, OCHE_ERR_CLOSED, ECANCELED);
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
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

/* The part of connection_connect() that makes something; the user was charged for a socket. */
static int begin_connect(struct request *request, const struct connection_target *target, int *os_error)
{
    struct session *session = request->session;
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
    code = request_hold(request, &connection->connects, cancel_connect);
    if (code < 0)
        goto failed;
    code = attach(connection, fd);
    if (code < 0)
        goto failed;
    connection->opened = target->opened;
    connection->securing.ssl = target->ssl;
    socket_stream_connect(&connection->lowest, (const struct sockaddr *)&target->remote.storage, target->remote.length);
    return 0;

failed:
    if (connection)
        request_drop(&connection->connects);
    free(connection);
    close(fd);
    return code;
}

int connection_connect(struct request *request, const struct connection_target *target, int *os_error)
{
    struct session *session = request->session;
    struct account *account = session->account;
    if (!account_take_turn(account, ACCOUNT_CONNECTION_RATE))
        return session_refuse_turn(session, ACCOUNT_CONNECTION_RATE);
    switch (socket_charge(session)) {
    case SOCKET_LACKS_HANDLE:
        return session_refuse(session, ACCOUNT_HANDLES, account->quotas[ACCOUNT_HANDLES].limit);
    case SOCKET_LACKS_DESCRIPTOR:
        *os_error = EMFILE;
        return OCHE_ERR_CONNECT_FAILED;
    default:
        break;
    }
    int code = begin_connect(request, target, os_error);
    if (code < 0)
        socket_give_back_charge(session);
    return code;
}

struct connection *connection_take(struct session *session, int fd, const struct sockaddr_storage *peer,
                                   int64_t listener, int *code)
{
    struct connection *connection = connection_new(session);
    *code = connection ? attach(connection, fd) : OCHE_ERR_OUT_OF_MEMORY;
    if (*code < 0) {
        free(connection);
        return NULL;
    }
    connection->accepted_by = listener;
    address_to_endpoint(&connection->peer, peer);
    return connection;
}

void connection_accepted(struct connection *connection, struct request *request)
{
    statistics_add(&request->session->host->daemon->statistics.connections_accepted, 1);
    open_connection(connection, request, NULL);
}

void connection_drop(struct connection *connection)
{
    connection->outgoing.cut = true;
    detach(connection);
}

/* ---- reading ---- */

static void start_receiving(struct connection *connection)
{
    if (connection->receiving || connection->read_ended || connection->credit <= 0)
        return;
    connection->receiving = true;
    stream_receive(connection->stream);
}

static bool grant(struct socket *socket, int64_t credit)
{
    struct connection *connection = connection_of(socket);
    if (credit <= 0 || credit > FRAME_CREDIT_MAX - connection->credit)
        return false;
    connection->credit += credit;
    start_receiving(connection);
    return true;
}

/* Completes a PAUSE that has waited for the system to be done with the room. True: there was one. */
static void end_pause(struct connection *connection)
{
    if (connection->pauses.held)
        request_complete(&connection->pauses, 0, 0);
}

static int pause_reading(struct socket *socket, struct request *request)
{
    struct connection *connection = connection_of(socket);
    if (connection->pauses.held)
        return OCHE_ERR_INVALID_ARGUMENT;
    connection->credit = 0;
    list_remove(&socket->node); /* of those that wait for room */
    if (connection->receiving && !stream_receive_withdraw(connection->stream)) {
        request_hold_anyway(request, &connection->pauses, NULL);
        return 0;
    }
    connection->receiving = false;
    request_complete(request, 0, 0);
    return 0;
}

static void relieve(struct socket *socket)
{
    stream_receive_retry(connection_of(socket)->stream);
}

static uint8_t *on_room(void *owner, size_t *size)
{
    struct connection *connection = owner;
    struct session *session = connection->socket.session;
    /* What still comes while the connection lingers stays in the kernel, which resets the connection for it when it is
     * closed, as it does for everybody who closes without having read. */
    if (connection->state == CONNECTION_LINGERING)
        return NULL;
    size_t most = connection->credit < UINT32_MAX ? (size_t)connection->credit : UINT32_MAX;
    if (!lane_reserve(&session->lane, connection->expects_many, most, &connection->room)) {
        list_append(&session->waiting_for_room, &connection->socket.node);
        return NULL;
    }
    *size = connection->room.size;
    return connection->room.data;
}

static void on_room_unused(void *owner)
{
    struct connection *connection = owner;
    lane_give_back(&connection->socket.session->lane, &connection->room);
    if (connection->pauses.held && stream_receive_withdraw(connection->stream)) {
        connection->receiving = false;
        end_pause(connection);
    }
}

static void end_reading(struct connection *connection, int os_error)
{
    struct session *session = connection->socket.session;
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = connection->socket.handle,
        .value = os_error ? OCHE_ERR_READ_FAILED : OCHE_ERR_CLOSED,
        .os_error = (uint16_t)os_error,
    };
    connection->read_ended = true;
    if (!os_error)
        stream_watch_break(connection->stream);
    else
        log_failure(LOG_INFO, "session=%llu event=read-failed handle=%lld error=\"%s\" errno=%d",
                    (unsigned long long)session->number, (long long)connection->socket.handle, errno_text(os_error),
                    os_error);
    session_reply(session, &frame, NULL, NULL);
}

static void on_received(void *owner, ssize_t result)
{
    struct connection *connection = owner;
    struct session *session = connection->socket.session;
    connection->receiving = false;
    /* The client has closed it while the system had the receive. Who closes without having read resets the connection.
     */
    if (connection->state == CONNECTION_LINGERING) {
        lane_give_back(&session->lane, &connection->room);
        connection->outgoing.cut |= result > 0;
        return;
    }
    if (result <= 0) {
        lane_give_back(&session->lane, &connection->room);
        /* When a send has met the reset first, the kernel reports it to nobody else: what recv calls the end of the
         * stream is where it was cut off. */
        end_reading(connection, result < 0 ? (int)-result : connection->outgoing.broken);
        end_pause(connection);
        return;
    }
    struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = connection->socket.handle,
        .value = result,
        .payload_length = (uint32_t)result,
    };
    connection->credit -= connection->pauses.held ? 0 : result; /* it was taken away */
    /* With some inertia, so that messages of a few KiB keep coming whole. */
    if ((uint32_t)result == connection->room.size)
        connection->expects_many = true;
    else if (result < FEW)
        connection->expects_many = false;
    statistics_add(&session->host->daemon->statistics.bytes_received, (uint64_t)result);
    if (lane_commit(&session->lane, &connection->room, &frame) < 0) {
        session_end(session, "no memory for data", ENOMEM);
        return;
    }
    end_pause(connection);
    if (connection->state == CONNECTION_OPEN)
        start_receiving(connection);
}

/* ---- sending ---- */

static int write_bytes(struct socket *socket, struct request *request, const struct payload *payload, int64_t total,
                       int *os_error)
{
    return outgoing_write(&connection_of(socket)->outgoing, request, payload, total, os_error);
}

static int shut_down(struct socket *socket, struct request *request, int *os_error)
{
    return outgoing_shut_down(&connection_of(socket)->outgoing, request, os_error);
}

static int on_vectors(void *owner, struct iovec *vectors, int max)
{
    struct connection *connection = owner;
    return outgoing_vectors(&connection->outgoing, vectors, max);
}

static void on_bytes_unused(void *owner)
{
    struct connection *connection = owner;
    outgoing_unused(&connection->outgoing);
}

static void on_sent(void *owner, ssize_t result)
{
    struct connection *connection = owner;
    outgoing_sent(&connection->outgoing, result);
    if (connection->state == CONNECTION_LINGERING && !connection->outgoing.first)
        end_lingering(connection);
}

static void on_broke(void *owner, int os_error)
{
    struct connection *connection = owner;
    outgoing_break(&connection->outgoing, os_error);
}

static const struct stream_user user = {
    .opened = on_opened,
    .room = on_room,
    .received = on_received,
    .room_unused = on_room_unused,
    .vectors = on_vectors,
    .sent = on_sent,
    .bytes_unused = on_bytes_unused,
    .broke = on_broke,
    .closed = on_closed,
};

const struct socket_kind connection_kind = {
    .name = "connection",
    .operations = 1u << FRAME_READ | 1u << FRAME_WRITE | 1u << FRAME_CLOSE_WRITE | 1u << FRAME_CLOSE |
                  1u << FRAME_ABORT | 1u << FRAME_SET_OPTION | 1u << FRAME_GET_OPTION | 1u << FRAME_PAUSE |
                  1u << FRAME_SECURE | 1u << FRAME_TRUST | 1u << FRAME_TLS_INFO,
    .grant = grant,
    .write = write_bytes,
    .pause = pause_reading,
    .shut_down = shut_down,
    .close = close_for_client,
    .abort = abort_socket,
    .relieve = relieve,
    .cut = cut,
    .orphan = orphan,
    .abandon = abandon,
};
