#include "daemon/outgoing.h"

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/session.h"
#include "daemon/worker.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

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

/* ---- the queue ---- */

static size_t write_cost(const struct write *write)
{
    return write->payload.length + (write->more ? 0 : FRAME_WRITE_OVERHEAD);
}

static void append_write(struct connection *connection, struct write *write)
{
    if (connection->outgoing.last)
        connection->outgoing.last->next = write;
    else
        connection->outgoing.first = write;
    connection->outgoing.last = write;
    connection->session->queued_bytes += write_cost(write);
}

/* Charges the user for a write. 0, or a code: nothing was charged. */
static int charge(struct session *session, const struct write *write)
{
    struct account *account = session->account;
    if (!account_take(account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write)))
        return session_refuse(session, ACCOUNT_QUEUED_BYTES, account->quotas[ACCOUNT_QUEUED_BYTES].limit);
    if (account_take(account, ACCOUNT_REQUESTS, 1))
        return 0;
    account_give_back(account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write));
    return session_refuse(session, ACCOUNT_REQUESTS, account->quotas[ACCOUNT_REQUESTS].limit);
}

/* The client has its answer, or will have none. */
static void stop_waiting(struct session *session, const struct write *write)
{
    session->queued_bytes -= write_cost(write);
    account_give_back(session->account, ACCOUNT_REQUESTS, 1);
}

static struct write *take_write(struct connection *connection)
{
    struct write *write = connection->outgoing.first;
    connection->outgoing.first = write->next;
    if (!write->next)
        connection->outgoing.last = NULL;
    connection->outgoing.sent = 0;
    if (connection->state != CONNECTION_LINGERING)
        stop_waiting(connection->session, write);
    account_give_back(connection->session->account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write));
    return write;
}

static void free_write(struct connection *connection, struct write *write)
{
    lane_free_payload(&connection->session->lane, &write->payload);
    free(write);
}

void outgoing_fail(struct connection *connection, struct connection_end end)
{
    while (connection->outgoing.first) {
        struct write *write = take_write(connection);
        connection->outgoing.cut = true;
        if (!write->more)
            session_reply(connection->session, write->opcode, write->request_id, end.code, end.os_error);
        free_write(connection, write);
    }
}

void outgoing_linger(struct connection *connection)
{
    for (struct write *write = connection->outgoing.first; write; write = write->next)
        stop_waiting(connection->session, write);
    for (struct write *write = connection->outgoing.first; write; write = write->next) {
        if (write->more)
            continue;
        session_reply(connection->session, write->opcode, write->request_id, OCHE_ERR_CLOSED, 0);
        if (connection->state == CONNECTION_CLOSED)
            return;
    }
}

void outgoing_drop(struct connection *connection)
{
    while (connection->outgoing.first) {
        connection->outgoing.cut = true;
        free_write(connection, take_write(connection));
    }
}

/* ---- requests ---- */

/* Sends the end of the stream: 0 or errno. */
static int shut_down_now(struct connection *connection)
{
    return shutdown(engine_socket_fd(connection->socket), SHUT_WR) == 0 ? 0 : errno;
}

/* Does not take a write, nor any that comes after it. */
static int refuse(struct connection *connection, int code)
{
    connection->outgoing.end = (struct connection_end){.code = (int16_t)code};
    connection->outgoing.cut = true;
    return code;
}

int outgoing_write(struct connection *connection, const struct frame *frame, const struct payload *payload,
                   int64_t total, int *os_error)
{
    struct session *session = connection->session;
    if (connection->outgoing.end.code) {
        *os_error = connection->outgoing.end.os_error;
        return connection->outgoing.end.code;
    }
    if (connection->outgoing.shut_down) {
        *os_error = EPIPE;
        return OCHE_ERR_WRITE_FAILED;
    }
    if (payload->length == 0 && !connection->outgoing.first) {
        session_reply(session, FRAME_WRITE, frame->request_id, total, 0);
        return 0;
    }
    if (session->queued_bytes + payload->length + FRAME_WRITE_OVERHEAD > session->worker->shared->limits.queued_bytes) {
        session_refuse(session, ACCOUNT_QUEUED_BYTES, (int64_t)session->worker->shared->limits.queued_bytes);
        return refuse(connection, OCHE_ERR_OUT_OF_MEMORY);
    }
    struct write *write = malloc(sizeof *write);
    if (!write)
        return refuse(connection, OCHE_ERR_OUT_OF_MEMORY);
    *write = (struct write){
        .request_id = frame->request_id,
        .opcode = FRAME_WRITE,
        .payload = *payload,
        .more = frame->flags & FRAME_MORE,
        .quiet = frame->flags & FRAME_QUIET,
        .total = total,
    };
    int code = charge(session, write);
    if (code < 0) {
        free(write);
        return refuse(connection, code);
    }
    bool idle = !connection->outgoing.first;
    append_write(connection, write);
    if (idle)
        engine_send(connection->socket);
    return 0;
}

int outgoing_close(struct connection *connection, int64_t request_id, int *os_error)
{
    struct session *session = connection->session;
    if (connection->outgoing.end.code) {
        *os_error = connection->outgoing.end.os_error;
        return connection->outgoing.end.code;
    }
    /* The first CLOSE_WRITE finds room even where the queue, or the user's account, is full; a second one has nothing
     * to add. */
    bool room = session->queued_bytes + FRAME_WRITE_OVERHEAD <= session->worker->shared->limits.queued_bytes;
    if (connection->outgoing.shut_down && !room)
        return OCHE_ERR_OUT_OF_MEMORY;
    if (!connection->outgoing.first) {
        *os_error = shut_down_now(connection);
        if (*os_error)
            return OCHE_ERR_WRITE_FAILED;
        connection->outgoing.shut_down = true;
        session_reply(session, FRAME_CLOSE_WRITE, request_id, 0, 0);
        return 0;
    }
    struct write *write = malloc(sizeof *write);
    if (!write)
        return connection->outgoing.shut_down ? OCHE_ERR_OUT_OF_MEMORY : refuse(connection, OCHE_ERR_OUT_OF_MEMORY);
    connection->outgoing.shut_down = true;
    *write = (struct write){.request_id = request_id, .opcode = FRAME_CLOSE_WRITE};
    quota_take_anyway(&session->account->quotas[ACCOUNT_QUEUED_BYTES], (int64_t)write_cost(write));
    quota_take_anyway(&session->account->quotas[ACCOUNT_REQUESTS], 1);
    append_write(connection, write);
    return 0;
}

/* ---- sending ---- */

int outgoing_vectors(const struct connection *connection, struct iovec *vectors, int max)
{
    int count = 0;
    size_t skip = connection->outgoing.sent;
    for (struct write *write = connection->outgoing.first; write && write->payload.data && count < max;
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
    if (!write->more && connection->state == CONNECTION_OPEN)
        session_reply_frame(connection->session, &frame, NULL, NULL);
    free_write(connection, write);
}

static void complete_close_write(struct connection *connection)
{
    struct write *write = take_write(connection);
    int os_error = shut_down_now(connection);
    if (connection->state == CONNECTION_OPEN)
        session_reply(connection->session, FRAME_CLOSE_WRITE, write->request_id, os_error ? OCHE_ERR_WRITE_FAILED : 0,
                      os_error);
    free_write(connection, write);
}

/* What has come to the head of the queue and has nothing to send. */
static void complete_empty(struct connection *connection)
{
    while (connection->outgoing.first && !connection->outgoing.first->payload.data) {
        if (connection->outgoing.first->opcode == FRAME_WRITE)
            complete_write(connection);
        else
            complete_close_write(connection);
    }
}

static void end_writing(struct connection *connection, int os_error)
{
    struct connection_end end = {.code = OCHE_ERR_WRITE_FAILED, .os_error = (uint16_t)os_error};
    connection->outgoing.end = end;
    connection->outgoing.cut = true;
    /* EPIPE is what a send meets after the peer's complete stream and a reset, or after our own end of the stream:
     * it says nothing about the other direction. */
    if (os_error != EPIPE)
        connection->broken = (uint16_t)os_error;
    log_failure(LOG_INFO, "session=%llu event=write-failed handle=%lld error=\"%s\" errno=%d",
                (unsigned long long)connection->session->number, (long long)connection->handle,
                log_errno_text(os_error), os_error);
    if (connection->state == CONNECTION_OPEN)
        outgoing_fail(connection, end);
    else
        outgoing_drop(connection);
}

void outgoing_break(struct connection *connection, int os_error)
{
    struct session *session = connection->session;
    if (connection->outgoing.first || connection->outgoing.end.code)
        return; /* a send is under way and will meet the break, or has met it */
    end_writing(connection, os_error);
    if (!session->learns_of_breaks)
        return;
    struct frame frame = {
        .opcode = FRAME_WRITE,
        .flags = FRAME_REPLY,
        .os_error = (uint16_t)os_error,
        .handle = connection->handle,
        .value = OCHE_ERR_WRITE_FAILED,
    };
    session_reply_frame(session, &frame, NULL, NULL);
}

void outgoing_sent(struct connection *connection, ssize_t result)
{
    if (result < 0) {
        end_writing(connection, (int)-result);
        return;
    }
    statistics_add(&connection->session->worker->shared->statistics.bytes_sent, (uint64_t)result);
    size_t sent = (size_t)result;
    while (sent > 0) {
        size_t left = connection->outgoing.first->payload.length - connection->outgoing.sent;
        if (sent < left) {
            connection->outgoing.sent += sent;
            break;
        }
        sent -= left;
        complete_write(connection);
        /* An answer that found no memory has ended the session, and emptied the queue. */
        if (connection->state == CONNECTION_CLOSED)
            return;
    }
    complete_empty(connection);
    if (connection->state != CONNECTION_CLOSED && connection->outgoing.first)
        engine_send(connection->socket);
}
