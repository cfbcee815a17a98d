#include "daemon/socket/datagram.h"

#include "daemon/engine/engine.h"
#include "daemon/lane/payload.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/session/tenant.h"
#include "daemon/socket/policy.h"
#include "proto/endpoints.h"
#include "proto/errors.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

/* udp(7): no datagram is longer. */
enum { CONTENT_MAX = 65535 };

/* A WRITE that waits for the kernel. */
struct outgoing_datagram {
    struct list node; /* in datagram->outgoing */
    struct datagram *datagram;
    struct request request;
    struct payload payload;
    struct engine_message message;
    struct iovec content;
};

struct datagram {
    struct socket socket;
    bool is_closed;
    bool has_peer;

    int64_t credit;
    bool receiving; /* a receive is under way */
    struct engine_message incoming;
    struct iovec content;
    uint8_t *room; /* of the receive: ENDPOINT_SIZE + CONTENT_MAX bytes; NULL: there is none */

    struct list outgoing;
    bool sending; /* a send is under way, also if all that it was for has been cancelled */
};

static const struct engine_handlers handlers;

static struct datagram *datagram_of(struct socket *socket)
{
    return (struct datagram *)socket; /* its first member */
}

/* ---- sending ---- */

static size_t cost(const struct outgoing_datagram *out)
{
    return out->payload.length + FRAME_WRITE_OVERHEAD;
}

/* For one that was taken out of the queue: nothing is charged for it any more, and its bytes are gone. */
static void settle(struct datagram *datagram, struct outgoing_datagram *out)
{
    struct session *session = datagram->socket.session;
    session->queued_bytes -= cost(out);
    account_give_back(session->account, ACCOUNT_QUEUED_BYTES, (int64_t)cost(out));
    lane_free_payload(&session->lane, &out->payload);
}

static struct outgoing_datagram *take_first(struct datagram *datagram)
{
    struct outgoing_datagram *out = list_entry(list_take_first(&datagram->outgoing), struct outgoing_datagram, node);
    settle(datagram, out);
    return out;
}

/* Answers the first one, which may end the session, and with it the socket. */
static void complete_first(struct datagram *datagram, int64_t value, int os_error)
{
    struct outgoing_datagram *out = take_first(datagram);
    request_complete(&out->request, value, os_error);
    free(out);
}

static void drop_all(struct datagram *datagram)
{
    while (!list_is_empty(&datagram->outgoing)) {
        struct outgoing_datagram *out = take_first(datagram);
        request_drop(&out->request);
        free(out);
    }
}

/* Whither: 0; or the code, with *os_error, with which to answer. */
static int find_destination(const struct datagram *datagram, const struct payload *payload, struct engine_message *out,
                            int *os_error)
{
    const struct session *session = datagram->socket.session;
    struct endpoint endpoint;
    struct address address;
    char text[ADDRESS_TEXT_SIZE];
    if (!endpoint_decode(&endpoint, payload->data, payload->length))
        return OCHE_ERR_INVALID_ADDRESS;
    if (endpoint.address_length == 0)
        return datagram->has_peer ? 0 : OCHE_ERR_INVALID_ADDRESS;
    if (datagram->has_peer || endpoint.port == 0)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (!address_from_wire(&address, endpoint.address, endpoint.address_length, endpoint.scope_id, endpoint.port))
        return OCHE_ERR_INVALID_ADDRESS;
    if (!policy_allows(&session->host->daemon->policy->connect, &address)) {
        log_failure(LOG_WARNING, "session=%llu event=denied operation=send address=%s",
                    (unsigned long long)session->number, address_text(&address, text));
        *os_error = EACCES;
        return OCHE_ERR_WRITE_FAILED;
    }
    out->address = address.storage;
    out->address_length = address.length;
    return 0;
}

/* The kernel has none of those that are in the queue. */
static void cancel(struct request *request)
{
    struct outgoing_datagram *out = list_entry(request, struct outgoing_datagram, request);
    list_remove(&out->node);
    settle(out->datagram, out);
    request_complete(&out->request, OCHE_ERR_CLOSED, ECANCELED);
    free(out);
}

/* Charges the user, and holds the request. 0, or a code: nothing was charged. */
static int hold(struct outgoing_datagram *out, struct request *request)
{
    struct session *session = request->session;
    struct account *account = session->account;
    size_t limit = session->host->daemon->limits.queued_bytes;
    if (session->queued_bytes + cost(out) > limit)
        return session_refuse(session, ACCOUNT_QUEUED_BYTES, (int64_t)limit);
    if (!account_take(account, ACCOUNT_QUEUED_BYTES, (int64_t)cost(out)))
        return session_refuse(session, ACCOUNT_QUEUED_BYTES, account->quotas[ACCOUNT_QUEUED_BYTES].limit);
    int code = request_hold(request, &out->request, cancel);
    if (code < 0)
        account_give_back(account, ACCOUNT_QUEUED_BYTES, (int64_t)cost(out));
    return code;
}

static void start_sending(struct datagram *datagram)
{
    if (datagram->sending || list_is_empty(&datagram->outgoing))
        return;
    datagram->sending = true;
    engine_send_messages(datagram->socket.engine_socket);
}

static int write_datagram(struct socket *socket, struct request *request, const struct payload *payload, int64_t total,
                          int *os_error)
{
    struct datagram *datagram = datagram_of(socket);
    /* A datagram in several frames. */
    if (request->flags & FRAME_MORE || total != payload->length)
        return OCHE_ERR_INVALID_ARGUMENT;
    struct outgoing_datagram *out = calloc(1, sizeof *out);
    if (!out)
        return OCHE_ERR_OUT_OF_MEMORY;
    out->datagram = datagram;
    out->payload = *payload;
    int code = find_destination(datagram, payload, &out->message, os_error);
    if (code == 0)
        code = hold(out, request);
    if (code < 0) {
        free(out);
        return code;
    }
    out->content = (struct iovec){payload->data + ENDPOINT_SIZE, payload->length - ENDPOINT_SIZE};
    out->message.vectors = &out->content;
    out->message.vector_count = 1;
    socket->session->queued_bytes += cost(out);
    list_append(&datagram->outgoing, &out->node);
    start_sending(datagram);
    return 0;
}

/* All may have been cancelled since they were announced: then there are none. */
static int on_messages(void *owner, struct engine_message **messages)
{
    const struct datagram *datagram = owner;
    int count = 0;
    for (struct list *node = datagram->outgoing.next; node != &datagram->outgoing && count < ENGINE_MESSAGES_PER_SEND;
         node = node->next)
        messages[count++] = &list_entry(node, struct outgoing_datagram, node)->message;
    return count;
}

/* The kernel has the first one. The answer counts its bytes, without the address. */
static void complete_sent(struct datagram *datagram)
{
    struct outgoing_datagram *out = take_first(datagram);
    statistics_add(&datagram->socket.session->host->daemon->statistics.bytes_sent, out->content.iov_len);
    request_complete(&out->request, (int64_t)out->content.iov_len, 0);
    free(out);
}

static void on_messages_sent(void *owner, int result)
{
    struct datagram *datagram = owner;
    const struct session *session = datagram->socket.session;
    datagram->sending = false;
    if (result < 0)
        complete_first(datagram, OCHE_ERR_WRITE_FAILED, -result);
    for (int i = 0; i < result && session->state != SESSION_ENDED; i++)
        complete_sent(datagram);
    if (!datagram->is_closed)
        start_sending(datagram);
}

/* ---- receiving ---- */

static void start_receiving(struct datagram *datagram)
{
    if (datagram->receiving || datagram->credit <= 0)
        return;
    datagram->receiving = true;
    engine_recv_message(datagram->socket.engine_socket);
}

static bool grant(struct socket *socket, int64_t credit)
{
    struct datagram *datagram = datagram_of(socket);
    if (credit <= 0 || credit > FRAME_CREDIT_MAX - datagram->credit)
        return false;
    datagram->credit += credit;
    start_receiving(datagram);
    return true;
}

static void drop_room(struct datagram *datagram)
{
    free(datagram->room);
    datagram->room = NULL;
}

/* A client that takes nothing gets nothing more: datagrams stay in the kernel. */
static bool has_lane_room(struct datagram *datagram)
{
    struct session *session = datagram->socket.session;
    struct lane_room room = {0};
    if (!lane_reserve(&session->lane, false, 1, &room)) {
        list_append(&session->waiting_for_room, &datagram->socket.node);
        return false;
    }
    lane_give_back(&session->lane, &room);
    return true;
}

static void relieve(struct socket *socket)
{
    engine_recv_retry(socket->engine_socket);
}

static struct engine_message *on_message_room(void *owner)
{
    struct datagram *datagram = owner;
    if (!has_lane_room(datagram))
        return NULL;
    datagram->room = malloc(ENDPOINT_SIZE + CONTENT_MAX);
    if (!datagram->room) {
        session_end(datagram->socket.session, "no memory for data", ENOMEM);
        return NULL;
    }
    datagram->content = (struct iovec){datagram->room + ENDPOINT_SIZE, CONTENT_MAX};
    datagram->incoming = (struct engine_message){.vectors = &datagram->content, .vector_count = 1};
    return &datagram->incoming;
}

static void on_room_unused(void *owner)
{
    drop_room(owner);
}

/* What came back about a datagram that was sent (udp(7)): the socket goes on, and so does who receives. */
static bool is_about_another(int os_error)
{
    switch (os_error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EPROTO:
    case EMSGSIZE:
        return true;
    default:
        return false;
    }
}

static void tell_failure(struct datagram *datagram, int os_error)
{
    const struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = datagram->socket.handle,
        .value = OCHE_ERR_READ_FAILED,
        .os_error = (uint16_t)os_error,
    };
    log_failure(LOG_INFO, "session=%llu event=read-failed handle=%lld error=\"%s\" errno=%d",
                (unsigned long long)datagram->socket.session->number, (long long)datagram->socket.handle,
                errno_text(os_error), os_error);
    session_reply(datagram->socket.session, &frame, NULL, NULL);
}

static void tell_datagram(struct datagram *datagram, size_t length)
{
    struct session *session = datagram->socket.session;
    struct endpoint source;
    address_to_endpoint(&source, &datagram->incoming.address);
    endpoint_encode(&source, datagram->room);
    const struct frame frame = {
        .opcode = FRAME_READ,
        .flags = FRAME_REPLY,
        .handle = datagram->socket.handle,
        .value = (int64_t)(ENDPOINT_SIZE + length),
        .payload_length = (uint32_t)(ENDPOINT_SIZE + length),
    };
    datagram->credit -= frame.value;
    statistics_add(&session->host->daemon->statistics.bytes_received, length);
    session_reply(session, &frame, NULL, datagram->room);
}

static void on_message_received(void *owner, ssize_t result)
{
    struct datagram *datagram = owner;
    datagram->receiving = false;
    if (result >= 0) {
        tell_datagram(datagram, (size_t)result);
    } else if (!is_about_another((int)-result)) {
        tell_failure(datagram, (int)-result);
        datagram->credit = 0;
    }
    drop_room(datagram);
    if (!datagram->is_closed)
        start_receiving(datagram);
}

/* ---- making and unmaking ---- */

static void detach(struct datagram *datagram)
{
    struct socket *socket = &datagram->socket;
    struct session *session = socket->session;
    datagram->is_closed = true;
    list_remove(&socket->node);
    socket_leave_table(socket);
    engine_socket_close(socket->engine_socket);
    socket_give_back_charge(session);
    starvation_relieve(&session->host->starvation);
}

static void close_datagram(struct datagram *datagram)
{
    while (!list_is_empty(&datagram->outgoing))
        complete_first(datagram, OCHE_ERR_CLOSED, 0);
    /* Answering may have ended the session, for want of memory, and with it this socket. */
    if (!datagram->is_closed)
        detach(datagram);
}

static void close_for_client(struct socket *socket, struct request *request)
{
    close_datagram(datagram_of(socket));
    request_complete(request, 0, 0);
}

static void abort_socket(struct socket *socket)
{
    close_datagram(datagram_of(socket));
}

static void orphan(struct socket *socket)
{
    drop_all(datagram_of(socket));
    detach(datagram_of(socket));
}

static void abandon(struct socket *socket, bool whole)
{
    (void)whole; /* each datagram is */
    orphan(socket);
}

static void on_closed(void *owner)
{
    struct datagram *datagram = owner;
    drop_room(datagram);
    free(datagram);
}

static const struct engine_handlers handlers = {
    .message_room = on_message_room,
    .message_received = on_message_received,
    .room_unused = on_room_unused,
    .messages = on_messages,
    .messages_sent = on_messages_sent,
    .closed = on_closed,
};

/* A descriptor that is bound, and connected if there is a peer; or a code with *os_error. */
static int open_descriptor(const struct datagram_target *target, int *os_error)
{
    int family = target->local.storage.ss_family;
    int v6_only = target->v6_only;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *os_error = errno;
        return OCHE_ERR_BIND_FAILED;
    }
    int code = OCHE_ERR_BIND_FAILED;
    bool bound = (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0) &&
                 bind(fd, (const struct sockaddr *)&target->local.storage, target->local.length) == 0;
    if (bound) {
        code = OCHE_ERR_CONNECT_FAILED;
        if (target->peer.length == 0 ||
            connect(fd, (const struct sockaddr *)&target->peer.storage, target->peer.length) == 0)
            return fd;
    }
    *os_error = errno;
    close(fd);
    return code;
}

static void complete_open(struct datagram *datagram, struct request *request)
{
    struct socket *socket = &datagram->socket;
    struct endpoints endpoints = {0};
    struct sockaddr_storage name;
    (void)engine_socket_name(socket->engine_socket, &name);
    address_to_endpoint(&endpoints.local, &name);
    if (datagram->has_peer && engine_socket_peer(socket->engine_socket, &name) == 0)
        address_to_endpoint(&endpoints.remote, &name);
    socket->open = true;
    request_complete_with_socket(request, socket->handle, &endpoints, NULL);
}

/* The part of datagram_open() that makes something; the user was charged for a socket. */
static int make(struct request *request, const struct datagram_target *target, int *os_error)
{
    struct session *session = request->session;
    struct datagram *datagram = calloc(1, sizeof *datagram);
    if (!datagram)
        return OCHE_ERR_OUT_OF_MEMORY;
    socket_init(&datagram->socket, &datagram_kind, session);
    list_init(&datagram->outgoing);
    datagram->has_peer = target->peer.length > 0;
    int fd = open_descriptor(target, os_error);
    if (fd < 0) {
        free(datagram);
        return fd;
    }
    int code = socket_enter_table(&datagram->socket);
    if (code == 0) {
        datagram->socket.engine_socket = engine_socket_new(&session->tenant->slice, fd, &handlers, datagram);
        if (datagram->socket.engine_socket) {
            complete_open(datagram, request);
            return 0;
        }
        socket_leave_table(&datagram->socket);
        code = OCHE_ERR_OUT_OF_MEMORY;
    }
    close(fd);
    free(datagram);
    return code;
}

int datagram_open(struct request *request, const struct datagram_target *target, int *os_error)
{
    struct session *session = request->session;
    switch (socket_charge(session)) {
    case SOCKET_LACKS_HANDLE:
        return session_refuse(session, ACCOUNT_HANDLES, session->account->quotas[ACCOUNT_HANDLES].limit);
    case SOCKET_LACKS_DESCRIPTOR:
        *os_error = EMFILE;
        return OCHE_ERR_BIND_FAILED;
    default:
        break;
    }
    int code = make(request, target, os_error);
    if (code < 0)
        socket_give_back_charge(session);
    return code;
}

const struct socket_kind datagram_kind = {
    .name = "datagram",
    .operations = 1u << FRAME_READ | 1u << FRAME_WRITE | 1u << FRAME_CLOSE | 1u << FRAME_ABORT |
                  1u << FRAME_SET_OPTION | 1u << FRAME_GET_OPTION,
    .grant = grant,
    .write = write_datagram,
    .close = close_for_client,
    .abort = abort_socket,
    .relieve = relieve,
    .orphan = orphan,
    .abandon = abandon,
};
