#include "daemon/connection.h"

#include "daemon/log.h"
#include "daemon/session.h"
#include "daemon/worker.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* A request in the order of writing. */
struct write {
    struct write *next;
    int64_t request_id;
    uint16_t opcode;        /* WRITE, or CLOSE_WRITE: the end of the stream */
    struct payload payload; /* without data: done when all before it is */
    bool more;              /* part of a long write, and not the last: not answered */
    bool quiet;             /* nobody waits for its success */
    int64_t total;          /* what the answer says: the bytes of all parts */
};

enum { FEW = 1024 /* bytes: who sends no more at a time is served from small room */ };

static const struct engine_handlers handlers;

/* ---- the queue of writes ---- */

static size_t write_cost(const struct write *write)
{
    return write->payload.length + (write->more ? 0 : FRAME_WRITE_OVERHEAD);
}

static void append_write(struct connection *connection, struct write *write)
{
    if (connection->last_write)
        connection->last_write->next = write;
    else
        connection->first_write = write;
    connection->last_write = write;
    connection->session->queued_bytes += write_cost(write);
}

static struct write *take_write(struct connection *connection)
{
    struct write *write = connection->first_write;
    connection->first_write = write->next;
    if (!write->next)
        connection->last_write = NULL;
    connection->first_write_sent = 0;
    connection->session->queued_bytes -= write_cost(write);
    return write;
}

static void free_write(struct connection *connection, struct write *write)
{
    lane_free_payload(&connection->session->lane, &write->payload);
    free(write);
}

/* Answers every queued request with `end`. */
static void fail_writes(struct connection *connection, struct connection_end end)
{
    while (connection->first_write) {
        struct write *write = take_write(connection);
        if (!write->more)
            session_reply(connection->session, write->opcode, write->request_id, end.code, end.os_error);
        free_write(connection, write);
    }
}

/* ---- making and unmaking ---- */

/* Gives a connection its handle and its socket, which it takes over. */
static int attach(struct connection *connection, int fd)
{
    struct session *session = connection->session;
    int64_t handle = socket_table_add(&session->sockets, SOCKET_CONNECTION, connection);
    if (handle <= 0)
        return handle == 0 ? OCHE_ERR_QUOTA : OCHE_ERR_OUT_OF_MEMORY;
    connection->socket = engine_socket_new(session->worker->engine, fd, &handlers, connection);
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

static void detach(struct connection *connection)
{
    assert(connection->state != CONNECTION_CLOSED);
    connection->state = CONNECTION_CLOSED;
    list_remove(&connection->waiting_node);
    engine_timer_free(connection->connect_timer);
    connection->connect_timer = NULL;
    socket_table_remove(&connection->session->sockets, connection->handle);
    engine_socket_close(connection->socket);
    worker_socket_gone(connection->session->worker);
}

void connection_close(struct connection *connection)
{
    static const struct connection_end closed = {.code = OCHE_ERR_CLOSED};
    fail_writes(connection, closed);
    /* Answering may have ended the session, for want of memory, and with it this connection. */
    if (connection->state != CONNECTION_CLOSED)
        detach(connection);
}

void connection_abandon(struct connection *connection)
{
    while (connection->first_write)
        free_write(connection, take_write(connection));
    detach(connection);
}

static void on_closed(void *owner)
{
    free(owner);
}

/* ---- connecting and accepting ---- */

/* Answers the request that made the connection. */
static void announce(struct connection *connection, unsigned opcode, int64_t request_id,
                     const struct sockaddr_storage *peer)
{
    struct endpoints endpoints = {0};
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    uint8_t record[ENDPOINTS_SIZE];

    getsockname(engine_socket_fd(connection->socket), (struct sockaddr *)&local, &length);
    address_to_endpoint(&endpoints.local, &local);
    address_to_endpoint(&endpoints.remote, peer);
    endpoints_encode(&endpoints, record);
    struct frame frame = {
        .opcode = (uint16_t)opcode,
        .flags = FRAME_REPLY,
        .request_id = request_id,
        .value = connection->handle,
        .payload_length = ENDPOINTS_SIZE,
    };
    connection->state = CONNECTION_OPEN;
    session_reply_frame(connection->session, &frame, NULL, record);
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
    engine_timer_free(connection->connect_timer);
    connection->connect_timer = NULL;
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    if (getpeername(engine_socket_fd(connection->socket), (struct sockaddr *)&peer, &length) < 0) {
        /* Already reset. */
        connect_failed(connection, OCHE_ERR_CONNECT_FAILED, errno);
        return;
    }
    statistics_add(&connection->session->worker->shared->statistics.connections_made, 1);
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

/* The part of connection_connect() that needs a descriptor; the caller has taken one. */
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
        connection->connect_timer = engine_timer_new(session->worker->engine, on_connect_timeout, connection);
        if (!connection->connect_timer)
            goto failed;
        engine_timer_set(connection->connect_timer, target->timeout_ms);
    }
    code = attach(connection, fd);
    if (code < 0)
        goto failed;
    list_append(&session->connecting, &connection->waiting_node);
    engine_connect(connection->socket, (const struct sockaddr *)&target->remote.storage, target->remote.length);
    return 0;

failed:
    if (connection)
        engine_timer_free(connection->connect_timer);
    free(connection);
    close(fd);
    return code;
}

int connection_connect(struct session *session, int64_t request_id, const struct connection_target *target,
                       int *os_error)
{
    struct descriptors *descriptors = &session->worker->shared->descriptors;
    if (!descriptors_take(descriptors)) {
        *os_error = EMFILE;
        return OCHE_ERR_CONNECT_FAILED;
    }
    int code = begin_connect(session, request_id, target, os_error);
    if (code < 0)
        descriptors_give_back(descriptors);
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
    if (os_error)
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

/* ---- writing ---- */

static void end_writing(struct connection *connection, int os_error)
{
    struct connection_end end = {.code = OCHE_ERR_WRITE_FAILED, .os_error = (uint16_t)os_error};
    connection->write_end = end;
    /* EPIPE is what a send meets after the peer's complete stream and a reset, or after our own end of the stream:
     * it says nothing about the other direction. */
    if (os_error != EPIPE)
        connection->broken = (uint16_t)os_error;
    log_failure(LOG_INFO, "session=%llu event=write-failed handle=%lld error=\"%s\" errno=%d",
                (unsigned long long)connection->session->number, (long long)connection->handle,
                log_errno_text(os_error), os_error);
    fail_writes(connection, end);
}

/* Sends the end of the stream: 0 or errno. */
static int shut_down_now(struct connection *connection)
{
    return shutdown(engine_socket_fd(connection->socket), SHUT_WR) == 0 ? 0 : errno;
}

int connection_write(struct connection *connection, const struct frame *frame, const struct payload *payload,
                     int64_t total, int *os_error)
{
    struct session *session = connection->session;
    if (connection->write_end.code) {
        *os_error = connection->write_end.os_error;
        return connection->write_end.code;
    }
    if (connection->shut_down) {
        *os_error = EPIPE;
        return OCHE_ERR_WRITE_FAILED;
    }
    if (payload->length == 0 && !connection->first_write) {
        session_reply(session, FRAME_WRITE, frame->request_id, 0, 0);
        return 0;
    }
    if (session->queued_bytes + payload->length + FRAME_WRITE_OVERHEAD > session->worker->shared->limits.queued_bytes)
        return OCHE_ERR_OUT_OF_MEMORY;
    struct write *write = malloc(sizeof *write);
    if (!write)
        return OCHE_ERR_OUT_OF_MEMORY;
    *write = (struct write){
        .request_id = frame->request_id,
        .opcode = FRAME_WRITE,
        .payload = *payload,
        .more = frame->flags & FRAME_MORE,
        .quiet = frame->flags & FRAME_QUIET,
        .total = total,
    };
    bool idle = !connection->first_write;
    append_write(connection, write);
    if (idle)
        engine_send(connection->socket);
    return 0;
}

int connection_close_write(struct connection *connection, int64_t request_id, int *os_error)
{
    struct session *session = connection->session;
    if (connection->write_end.code) {
        *os_error = connection->write_end.os_error;
        return connection->write_end.code;
    }
    /* One finds room even where the queue is full; a second one has nothing to add. */
    bool room = session->queued_bytes + FRAME_WRITE_OVERHEAD <= session->worker->shared->limits.queued_bytes;
    if (connection->shut_down && !room)
        return OCHE_ERR_OUT_OF_MEMORY;
    connection->shut_down = true;
    if (!connection->first_write) {
        *os_error = shut_down_now(connection);
        if (*os_error)
            return OCHE_ERR_WRITE_FAILED;
        session_reply(session, FRAME_CLOSE_WRITE, request_id, 0, 0);
        return 0;
    }
    struct write *write = malloc(sizeof *write);
    if (!write)
        return OCHE_ERR_OUT_OF_MEMORY;
    *write = (struct write){.request_id = request_id, .opcode = FRAME_CLOSE_WRITE};
    append_write(connection, write);
    return 0;
}

static int on_send_vectors(void *owner, struct iovec *vectors, int max)
{
    struct connection *connection = owner;
    int count = 0;
    size_t skip = connection->first_write_sent;
    for (struct write *write = connection->first_write; write && write->payload.data && count < max;
         write = write->next) {
        vectors[count].iov_base = write->payload.data + skip;
        vectors[count].iov_len = write->payload.length - skip;
        skip = 0;
        count++;
    }
    return count;
}

/* The first write has left. */
static void complete_write(struct connection *connection)
{
    struct write *write = take_write(connection);
    struct frame frame = {
        .opcode = FRAME_WRITE,
        .flags = FRAME_REPLY | (write->quiet ? FRAME_QUIET : 0),
        .request_id = write->request_id,
        .value = write->total,
    };
    if (!write->more)
        session_reply_frame(connection->session, &frame, NULL, NULL);
    free_write(connection, write);
}

static void complete_close_write(struct connection *connection)
{
    struct write *write = take_write(connection);
    int os_error = shut_down_now(connection);
    session_reply(connection->session, FRAME_CLOSE_WRITE, write->request_id, os_error ? OCHE_ERR_WRITE_FAILED : 0,
                  os_error);
    free_write(connection, write);
}

/* What has come to the head of the queue and has nothing to send. */
static void complete_empty(struct connection *connection)
{
    while (connection->first_write && !connection->first_write->payload.data) {
        if (connection->first_write->opcode == FRAME_WRITE)
            complete_write(connection);
        else
            complete_close_write(connection);
    }
}

static void linger_less(struct connection *connection)
{
    if (connection->session->state == SESSION_LINGERING)
        session_linger_less(connection->session, connection);
}

static void on_sent(void *owner, ssize_t result)
{
    struct connection *connection = owner;
    if (result < 0) {
        end_writing(connection, (int)-result);
        if (connection->state != CONNECTION_CLOSED)
            linger_less(connection);
        return;
    }
    statistics_add(&connection->session->worker->shared->statistics.bytes_sent, (uint64_t)result);
    size_t sent = (size_t)result;
    while (sent > 0) {
        size_t left = connection->first_write->payload.length - connection->first_write_sent;
        if (sent < left) {
            connection->first_write_sent += sent;
            break;
        }
        sent -= left;
        complete_write(connection);
        /* An answer that found no memory has ended the session, and emptied the queue. */
        if (connection->state == CONNECTION_CLOSED)
            return;
    }
    complete_empty(connection);
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (connection->first_write)
        engine_send(connection->socket);
    else
        linger_less(connection);
}

/* ---- options ---- */

int connection_set_option(struct connection *connection, int level, int name, int value, int *os_error)
{
    if (setsockopt(engine_socket_fd(connection->socket), level, name, &value, sizeof value) == 0)
        return 0;
    *os_error = errno;
    return OCHE_ERR_SOCKET_OPTION;
}

static const struct engine_handlers handlers = {
    .receive_buffer = on_receive_buffer,
    .received = on_received,
    .send_vectors = on_send_vectors,
    .sent = on_sent,
    .connected = on_connected,
    .closed = on_closed,
};
