#include "daemon/socket/outgoing.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/request.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/session/socket_kind.h"
#include "daemon/stream/stream.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdlib.h>

/* A WRITE, or a CLOSE_WRITE, whose turn comes when all before it is sent. */
struct write {
    struct write *next;
    struct outgoing *outgoing;
    struct request request;
    struct payload payload; /* without data: done when all before it is */
    int64_t total;          /* what the answer to a WRITE says: the bytes of all parts up to this one */
    bool cancelled;         /* counted in outgoing->cancels */
};

/* ---- the queue ---- */

static size_t write_cost(const struct write *write)
{
    return write->payload.length + (write->request.flags & FRAME_MORE ? 0 : FRAME_WRITE_OVERHEAD);
}

static void append_write(struct outgoing *outgoing, struct write *write)
{
    if (outgoing->last)
        outgoing->last->next = write;
    else
        outgoing->first = write;
    outgoing->last = write;
    outgoing->socket->session->queued_bytes += write_cost(write);
}

/* A write leaves the queue: gives back what was charged for it. */
static void uncharge(struct outgoing *outgoing, const struct write *write)
{
    struct session *session = outgoing->socket->session;
    outgoing->cancels -= write->cancelled;
    if (!outgoing->lingers)
        session->queued_bytes -= write_cost(write);
    account_give_back(session->account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write));
}

static struct write *take_write(struct outgoing *outgoing)
{
    struct write *write = outgoing->first;
    outgoing->first = write->next;
    if (!write->next)
        outgoing->last = NULL;
    outgoing->sent = 0;
    uncharge(outgoing, write);
    return write;
}

static void free_write(struct outgoing *outgoing, struct write *write)
{
    lane_free_payload(&outgoing->socket->session->lane, &write->payload);
    free(write);
}

/* Takes the first write out of the queue and completes it, if that has not been done. */
static void complete_first(struct outgoing *outgoing, int64_t value, int os_error)
{
    struct write *write = take_write(outgoing);
    if (write->request.held)
        request_complete(&write->request, value, os_error);
    free_write(outgoing, write);
}

void outgoing_fail(struct outgoing *outgoing, struct write_failure failure)
{
    while (outgoing->first) {
        outgoing->cut = true;
        complete_first(outgoing, failure.code, failure.os_error);
    }
}

void outgoing_linger(struct outgoing *outgoing)
{
    struct session *session = outgoing->socket->session;
    for (struct write *write = outgoing->first; write; write = write->next)
        session->queued_bytes -= write_cost(write);
    outgoing->lingers = true;
    outgoing->cancels = 0; /* the close was faster */
    for (struct write *write = outgoing->first; write; write = write->next) {
        write->cancelled = false;
        request_complete(&write->request, OCHE_ERR_CLOSED, 0);
        if (session->state == SESSION_ENDED)
            return; /* and the queue is empty */
    }
}

void outgoing_drop(struct outgoing *outgoing)
{
    while (outgoing->first) {
        struct write *write = take_write(outgoing);
        outgoing->cut = true;
        request_drop(&write->request);
        free_write(outgoing, write);
    }
}

/* Sends the end of the stream: 0 or errno. */
static int shut_down_now(struct outgoing *outgoing)
{
    return -stream_shut_down(outgoing->stream);
}

/* What has come to the head of the queue and has nothing to send. */
static void complete_empty(struct outgoing *outgoing)
{
    while (outgoing->first && !outgoing->first->payload.data) {
        if (outgoing->first->request.opcode == FRAME_WRITE) {
            complete_first(outgoing, outgoing->first->total, 0);
        } else {
            int os_error = shut_down_now(outgoing);
            complete_first(outgoing, os_error ? OCHE_ERR_WRITE_FAILED : 0, os_error);
        }
    }
}

/* ---- cancelling ---- */

/* The first part of the write whose last part is `last`. *position: how many writes are before it. */
static struct write *find_first_part(const struct outgoing *outgoing, struct write *last, unsigned *position)
{
    struct write *first = last;
    unsigned count = 0;
    bool continues = false;
    for (struct write *write = outgoing->first;; write = write->next) {
        if (!continues) {
            first = write;
            *position = count;
        }
        if (write == last)
            return first;
        continues = write->request.flags & FRAME_MORE;
        count++;
    }
}

/* Takes the writes from `first` to `last`, which are one request, out of the queue, and completes that. */
static void take_out(struct outgoing *outgoing, struct write *first, struct write *last)
{
    struct write *behind = last->next;
    struct write *before = NULL;
    for (struct write *write = outgoing->first; write != first; write = write->next)
        before = write;
    *(before ? &before->next : &outgoing->first) = behind;
    if (!behind)
        outgoing->last = before;
    if (last->request.opcode == FRAME_CLOSE_WRITE) /* behind an end there are only others like it */
        outgoing->shut_down = outgoing->last && outgoing->last->request.opcode == FRAME_CLOSE_WRITE;
    for (struct write *next, *write = first; write != behind; write = next) {
        next = write->next;
        uncharge(outgoing, write);
        request_complete(&write->request, OCHE_ERR_CLOSED, ECANCELED); /* but for the last part that answers nothing */
        free_write(outgoing, write);
    }
}

/* The stream goes on without the write; or it has begun, and nothing is sent any more. May end the session. */
static void take_back(struct outgoing *outgoing, struct write *last)
{
    unsigned position;
    struct write *first = find_first_part(outgoing, last, &position);
    bool lacks_parts = first->total != first->payload.length; /* those that the system has */
    if (!lacks_parts && (position > 0 || outgoing->sent == 0)) {
        take_out(outgoing, first, last);
        return;
    }
    outgoing->failure = (struct write_failure){.code = OCHE_ERR_WRITE_FAILED, .os_error = ECANCELED};
    outgoing_fail(outgoing, outgoing->failure);
}

/* Takes back the writes that were cancelled while the system held them, as far as it has not taken them. */
static void take_back_cancelled(struct outgoing *outgoing)
{
    for (struct write *next, *write = outgoing->first; outgoing->cancels > 0 && write; write = next) {
        next = write->next;
        if (write->cancelled)
            take_back(outgoing, write);
    }
    complete_empty(outgoing);
}

/* The stream waits to send, and there may be nothing left of that. */
static void withdraw_if_empty(struct outgoing *outgoing)
{
    if (outgoing->socket->session->state != SESSION_ENDED && !outgoing->first)
        stream_send_withdraw(outgoing->stream);
}

static void cancel_write(struct request *request)
{
    struct write *write = list_entry(request, struct write, request);
    struct outgoing *outgoing = write->outgoing;
    unsigned position;
    find_first_part(outgoing, write, &position);
    if (position < outgoing->offered) {
        outgoing->cancels += !write->cancelled;
        write->cancelled = true;
        return;
    }
    take_back(outgoing, write);
    complete_empty(outgoing);
    withdraw_if_empty(outgoing);
}

static void cancel_shut_down(struct request *request)
{
    const struct write *write = list_entry(request, struct write, request);
    if (!write->outgoing->end_stands)
        cancel_write(request);
}

/* ---- requests ---- */

/* Does not take a write, nor any that comes after it. */
static int refuse(struct outgoing *outgoing, int code)
{
    outgoing->failure = (struct write_failure){.code = (int16_t)code};
    outgoing->cut = true;
    return code;
}

/* Charges the user for the write, and holds its request. 0, or a code: nothing was charged. */
static int hold(struct write *write, struct request *request)
{
    struct session *session = request->session;
    struct account *account = session->account;
    if (!account_take(account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write)))
        return session_refuse(session, ACCOUNT_QUEUED_BYTES, account->quotas[ACCOUNT_QUEUED_BYTES].limit);
    int code = request_hold(request, &write->request, cancel_write);
    if (code < 0)
        account_give_back(account, ACCOUNT_QUEUED_BYTES, (int64_t)write_cost(write));
    return code;
}

int outgoing_write(struct outgoing *outgoing, struct request *request, const struct payload *payload, int64_t total,
                   int *os_error)
{
    struct session *session = request->session;
    size_t limit = session->host->daemon->limits.queued_bytes;
    if (outgoing->failure.code) {
        *os_error = outgoing->failure.os_error;
        return outgoing->failure.code;
    }
    if (outgoing->shut_down) {
        outgoing->end_stands = true;
        *os_error = EPIPE;
        return OCHE_ERR_WRITE_FAILED;
    }
    if (payload->length == 0 && !outgoing->first) {
        request_complete(request, total, 0);
        return 0;
    }
    if (session->queued_bytes + payload->length + FRAME_WRITE_OVERHEAD > limit) {
        session_refuse(session, ACCOUNT_QUEUED_BYTES, (int64_t)limit);
        return refuse(outgoing, OCHE_ERR_OUT_OF_MEMORY);
    }
    struct write *write = malloc(sizeof *write);
    if (!write)
        return refuse(outgoing, OCHE_ERR_OUT_OF_MEMORY);
    *write = (struct write){.outgoing = outgoing, .request = *request, .payload = *payload, .total = total};
    int code = hold(write, request);
    if (code < 0) {
        free(write);
        return refuse(outgoing, code);
    }
    bool idle = !outgoing->first;
    append_write(outgoing, write);
    if (idle)
        stream_send(outgoing->stream);
    return 0;
}

int outgoing_shut_down(struct outgoing *outgoing, struct request *request, int *os_error)
{
    struct session *session = request->session;
    if (outgoing->failure.code) {
        *os_error = outgoing->failure.os_error;
        return outgoing->failure.code;
    }
    /* The first CLOSE_WRITE ignores the limits, so that a full queue can be half-closed; a repeated one does not. */
    bool room = session->queued_bytes + FRAME_WRITE_OVERHEAD <= session->host->daemon->limits.queued_bytes;
    if (outgoing->shut_down && !room)
        return OCHE_ERR_OUT_OF_MEMORY;
    if (!outgoing->first) {
        *os_error = shut_down_now(outgoing);
        if (*os_error)
            return OCHE_ERR_WRITE_FAILED;
        outgoing->shut_down = true;
        request_complete(request, 0, 0);
        return 0;
    }
    struct write *write = calloc(1, sizeof *write);
    if (!write)
        return outgoing->shut_down ? OCHE_ERR_OUT_OF_MEMORY : refuse(outgoing, OCHE_ERR_OUT_OF_MEMORY);
    outgoing->shut_down = true;
    write->outgoing = outgoing;
    request_hold_anyway(request, &write->request, cancel_shut_down);
    quota_take_anyway(&session->account->quotas[ACCOUNT_QUEUED_BYTES], (int64_t)write_cost(write));
    append_write(outgoing, write);
    return 0;
}

/* ---- sending ---- */

int outgoing_vectors(struct outgoing *outgoing, struct iovec *vectors, int max)
{
    int count = 0;
    size_t skip = outgoing->sent;
    for (struct write *write = outgoing->first; write && write->payload.data && count < max; write = write->next) {
        vectors[count].iov_base = write->payload.data + skip;
        vectors[count].iov_len = write->payload.length - skip;
        skip = 0;
        count++;
    }
    outgoing->offered = (unsigned)count;
    return count;
}

static void end_writing(struct outgoing *outgoing, int os_error)
{
    const struct socket *socket = outgoing->socket;
    outgoing->failure = (struct write_failure){.code = OCHE_ERR_WRITE_FAILED, .os_error = (uint16_t)os_error};
    outgoing->cut = true;
    /* EPIPE is what a send meets after the peer's complete stream and a reset, or after our own end of the stream:
     * it says nothing about the other direction. */
    if (os_error != EPIPE)
        outgoing->broken = (uint16_t)os_error;
    log_failure(LOG_INFO, "session=%llu event=write-failed handle=%lld error=\"%s\" errno=%d",
                (unsigned long long)socket->session->number, (long long)socket->handle, errno_text(os_error), os_error);
    outgoing_fail(outgoing, outgoing->failure);
}

void outgoing_break(struct outgoing *outgoing, int os_error)
{
    struct session *session = outgoing->socket->session;
    if (outgoing->first || outgoing->failure.code)
        return; /* a send is under way and will meet the break, or has met it */
    end_writing(outgoing, os_error);
    const struct frame frame = {
        .opcode = FRAME_WRITE,
        .flags = FRAME_REPLY,
        .os_error = (uint16_t)os_error,
        .handle = outgoing->socket->handle,
        .value = OCHE_ERR_WRITE_FAILED,
    };
    session_reply(session, &frame, NULL, NULL);
}

void outgoing_sent(struct outgoing *outgoing, ssize_t result)
{
    struct session *session = outgoing->socket->session;
    outgoing->offered = 0;
    if (result < 0) {
        end_writing(outgoing, (int)-result);
        return;
    }
    statistics_add(&session->host->daemon->statistics.bytes_sent, (uint64_t)result);
    size_t sent = (size_t)result;
    while (sent > 0) {
        size_t left = outgoing->first->payload.length - outgoing->sent;
        if (sent < left) {
            outgoing->sent += sent;
            break;
        }
        sent -= left;
        complete_first(outgoing, outgoing->first->total, 0);
        /* An answer that found no memory has ended the session, and emptied the queue. */
        if (session->state == SESSION_ENDED)
            return;
    }
    take_back_cancelled(outgoing);
    if (session->state != SESSION_ENDED && outgoing->first)
        stream_send(outgoing->stream);
}

void outgoing_unused(struct outgoing *outgoing)
{
    outgoing->offered = 0;
    if (outgoing->cancels == 0)
        return;
    take_back_cancelled(outgoing);
    withdraw_if_empty(outgoing);
}
