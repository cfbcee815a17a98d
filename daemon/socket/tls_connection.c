#include "daemon/socket/tls_connection.h"

#include "daemon/lane/lane.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/session/daemon_state.h"
#include "daemon/session/session.h"
#include "daemon/session/session_host.h"
#include "daemon/session/tenant.h"
#include "daemon/tls/tls_context.h"
#include "daemon/tls/tls_info.h"
#include "daemon/tls/tls_stream.h"
#include "proto/errors.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { HANDSHAKE_MS = 10 * 1000 /* for a client; what a connect has is the client's business */ };

/* 0: TLS lies on the connection, and the handshake begins; or a code. Takes over `ssl`; NULL: out of memory.
 *
 * TLS has words of its own, session tickets for one, which the other side does not answer: with Nagle's algorithm what
 * is small and comes behind them would wait for an acknowledgement, which Linux may delay by 40 ms. */
static int put_on(struct connection *connection, SSL *ssl, enum tls_role role, connection_opened *opened)
{
    static const int on = 1;
    struct time_slice *slice = &connection->socket.session->tenant->slice;
    struct stream *tls = ssl ? tls_stream_new(connection->stream, slice, ssl, role) : NULL;
    if (!tls)
        return OCHE_ERR_OUT_OF_MEMORY;
    (void)engine_socket_set_option(connection->socket.engine_socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection_put_on(connection, tls, opened);
    return 0;
}

/* Counts a handshake that has failed, and says why. */
static const char *note_failure(const struct connection *connection, int os_error)
{
    const char *failure = connection_has_filter(connection) ? tls_stream_failure(connection->stream) : "";
    statistics_add(&connection->socket.session->host->daemon->statistics.handshakes_failed, 1);
    return *failure ? failure : errno_text(os_error);
}

static void log_handshake_failure(const struct connection *connection, const char *why, int os_error)
{
    log_failure(LOG_INFO, "session=%llu event=handshake-failed handle=%lld listener=%lld why=\"%s\" errno=%d",
                (unsigned long long)connection->socket.session->number, (long long)connection->socket.handle,
                (long long)connection->accepted_by, why, os_error);
}

static void note_success(const struct connection *connection)
{
    struct statistics *statistics = &connection->socket.session->host->daemon->statistics;
    statistics_add(&statistics->handshakes, 1);
    if (SSL_session_reused(tls_stream_ssl(connection->stream)))
        statistics_add(&statistics->handshakes_resumed, 1);
}

/* Of a connection that a client has: after SECURE or TRUST. */
static void on_shaken(struct connection *connection, int result)
{
    struct securing *securing = &connection->securing;
    securing->asks = result == STREAM_ASKS;
    if (result == STREAM_ASKS) {
        if (securing->request.held)
            request_complete_with_words(&securing->request, 0, 0, tls_stream_failure(connection->stream));
        return;
    }
    if (result == 0) {
        note_success(connection);
        if (securing->request.held) /* else the client has closed it, and it lingers */
            request_complete(&securing->request, 0, 0);
        return;
    }
    const char *why = note_failure(connection, -result);
    log_handshake_failure(connection, why, -result);
    connection_fail(connection, (struct write_failure){.code = OCHE_ERR_WRITE_FAILED, .os_error = (uint16_t)-result});
    /* Answering writes may have ended the session, for want of memory, and with it this connection. */
    if (connection->state != CONNECTION_CLOSED && securing->request.held)
        request_complete_with_words(&securing->request, OCHE_ERR_TLS_FAILED, -result, why);
}

/* ---- connecting ---- */

static void on_shaken_after_connect(struct connection *connection, int result)
{
    if (result < 0) {
        connection_connect_failed(connection, OCHE_ERR_TLS_FAILED, -result, note_failure(connection, -result));
        return;
    }
    connection->opened = on_shaken; /* after TRUST */
    connection->securing.asks = result == STREAM_ASKS;
    if (result == 0)
        note_success(connection);
    connection_connected(connection, result == STREAM_ASKS ? tls_stream_failure(connection->stream) : NULL);
}

static void on_connected(struct connection *connection, int result)
{
    if (result < 0) {
        connection_connect_failed(connection, OCHE_ERR_CONNECT_FAILED, -result, NULL);
        return;
    }
    SSL *ssl = connection->securing.ssl;
    connection->securing.ssl = NULL;
    int code = put_on(connection, ssl, TLS_CLIENT, on_shaken_after_connect);
    if (code < 0)
        connection_connect_failed(connection, code, 0, NULL);
}

int tls_connection_connect(struct request *request, const struct connection_target *target,
                           const struct tls_expectation *expected, int *os_error)
{
    struct connection_target of_tls = *target;
    of_tls.opened = on_connected;
    of_tls.ssl = tls_context_client(expected->context, expected->server_name, expected->asks);
    if (!of_tls.ssl)
        return OCHE_ERR_OUT_OF_MEMORY;
    int code = connection_connect(request, &of_tls, os_error);
    if (code < 0)
        SSL_free(of_tls.ssl);
    return code;
}

/* ---- accepting ---- */

static void on_shaken_for_listener(struct connection *connection, int result)
{
    struct securing *securing = &connection->securing;
    engine_timer_cancel(&connection->timer);
    if (result < 0)
        log_handshake_failure(connection, note_failure(connection, -result), -result);
    else
        note_success(connection);
    securing->secured(securing->owner, connection, result);
}

static void on_timeout(void *owner)
{
    on_shaken_for_listener(owner, -ETIMEDOUT);
}

void tls_connection_accept(struct connection *connection, struct tls_context *context, connection_secured *secured,
                           void *owner)
{
    struct session *session = connection->socket.session;
    connection->securing.secured = secured;
    connection->securing.owner = owner;
    engine_timer_init(&connection->timer, session->host->engine, on_timeout, connection);
    engine_timer_set(&connection->timer, HANDSHAKE_MS);
    if (put_on(connection, tls_context_server(context), TLS_SERVER, on_shaken_for_listener) < 0)
        engine_timer_set(&connection->timer, 0); /* its time is over */
}

void tls_connection_hand_over(struct connection *connection, struct request *request)
{
    connection->opened = on_shaken;
    connection_accepted(connection, request);
}

/* ---- open connections ---- */

int tls_connection_secure(struct socket *socket, struct request *request, const struct tls_expectation *expected,
                          const struct payload *payload)
{
    struct connection *connection = connection_of(socket);
    const struct outgoing *outgoing = &connection->outgoing;
    bool is_client = *expected->server_name;
    bool is_ready = !connection->receiving && connection->credit == 0 && !connection->read_ended && !outgoing->first &&
                    !outgoing->shut_down && !outgoing->failure.code && !connection->securing.request.held &&
                    !connection_has_filter(connection);
    if (!is_ready)
        return OCHE_ERR_INVALID_ARGUMENT;
    if (payload->length > 0 && stream_push_back(connection->stream, payload->data, payload->length) < 0)
        return OCHE_ERR_OUT_OF_MEMORY;
    SSL *ssl = is_client ? tls_context_client(expected->context, expected->server_name, expected->asks)
                         : tls_context_server(expected->context);
    int code = put_on(connection, ssl, is_client ? TLS_CLIENT : TLS_SERVER, on_shaken);
    if (code == 0)
        request_hold_anyway(request, &connection->securing.request, NULL);
    return code;
}

int tls_connection_trust(struct socket *socket, struct request *request)
{
    struct connection *connection = connection_of(socket);
    if (!connection->securing.asks)
        return OCHE_ERR_INVALID_ARGUMENT;
    connection->securing.asks = false;
    request_hold_anyway(request, &connection->securing.request, NULL);
    tls_stream_trust(connection->stream);
    return 0;
}

int tls_connection_info(struct socket *socket, struct request *request, int64_t item)
{
    struct connection *connection = connection_of(socket);
    uint8_t *bytes;
    if (!connection_has_filter(connection))
        return OCHE_ERR_INVALID_ARGUMENT;
    ssize_t count_or_error = tls_info_get(connection->stream, item, &bytes);
    if (count_or_error < 0)
        return count_or_error == -ENOMEM ? OCHE_ERR_OUT_OF_MEMORY : OCHE_ERR_INVALID_ARGUMENT;
    request_complete_with_bytes(request, bytes, (size_t)count_or_error);
    free(bytes);
    return 0;
}
