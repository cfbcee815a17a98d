/*
 * OpenSSL reads ciphertext from the pipe's `incoming` and writes it to its `outgoing`. So it never waits, and never
 * touches a socket: SSL_ERROR_WANT_READ means that the stream below has to bring more.
 *
 * Three things can be under way at a time, each on its own account: a receive of the stream below; a send of it, which
 * carries away `outgoing`, whoever has caused that; and what the owner has asked for. A record may bring an answer
 * (a session ticket, an update of keys), so receiving can cause sending, and so does the handshake.
 *
 * Nothing is told to the owner inside of a call of the owner's: what is to be told then waits for the work's turn.
 */
#include "daemon/tls/tls_stream.h"

#include "daemon/tls/tls_credentials.h"
#include "daemon/tls/tls_pipe.h"

#include <errno.h>
#include <openssl/err.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM_LEAST = 17 * 1024,     /* bytes of a receive: a record; */
    ROOM_MOST = 16 * 17 * 1024, /* or sixteen, if many come */
    RECORD = 16 * 1024,         /* bytes of the owner's in one, at most */
    RECORD_OVERHEAD = 64,       /* bytes that it has more, at most */
    OUTGOING_MAX = 64 * 1024,   /* bytes of ciphertext that are made at once */
    ANSWERS_MAX = 64 * 1024,    /* beyond that: answers to what the peer sends, who has to take them */
    VECTORS = 64,
    FAILURE_SIZE = 160,
};

struct tls_stream {
    struct stream stream; /* first: that which the owner knows */
    struct stream *below;
    SSL *ssl;
    struct engine_work work;
    struct tls_pipe pipe;          /* ciphertext */
    struct tls_buffer pushed_back; /* of the owner's, which comes before all else */
    uint8_t *received_into;        /* room of the receive below; NULL: there is none */
    size_t room;                   /* how large it is, or will be */
    size_t sent;                   /* bytes of the owner's that became what is in `outgoing` */
    bool is_open;                  /* the handshake is done */
    bool asks;                     /* the handshake waits for tls_stream_trust() */
    bool handshake_failed;         /* the owner is told when the peer has been */
    bool is_told;                  /* that it has failed */
    bool write_failed;
    bool has_stopped; /* nothing more can be decrypted, for this reason: */
    int stop;         /* 0, the peer has said that this is the end, or EPROTO */
    bool is_closed;
    int failure; /* errno of the stream below, or EPROTO; 0: all is well */
    bool receives_below;
    bool sends_below;
    bool wants_receive; /* the owner has a receive under way, */
    bool lacks_room;    /* for which it had no room */
    bool wants_send;    /* the owner has a send under way */
    bool shuts_down;    /* behind `outgoing` comes the end of the stream below */
    char text[FAILURE_SIZE];
};

static struct tls_stream *tls_of(struct stream *stream)
{
    return (struct tls_stream *)stream;
}

/* ---- failing ---- */

static void set_text(struct tls_stream *tls, const char *text)
{
    if (!*tls->text)
        snprintf(tls->text, sizeof tls->text, "%s", text);
}

/* What OpenSSL says went wrong. */
static void explain(struct tls_stream *tls)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        set_text(tls, X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl)));
    else if (tls->pipe.has_ended && (error == 0 || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
        set_text(tls, tls->is_open ? "the peer has ended the connection without close_notify"
                                   : "the peer has ended the connection in the handshake");
    else
        set_text(tls, reason ? reason : "the TLS of the peer makes no sense");
    ERR_clear_error();
}

/* ---- below: receiving and sending ---- */

static void receive_below(struct tls_stream *tls)
{
    bool is_behind =
        tls_buffer_length(&tls->pipe.outgoing) > OUTGOING_MAX + ANSWERS_MAX; /* on_sent() comes back to it */
    if (tls->receives_below || tls->pipe.has_ended || is_behind)
        return;
    tls->receives_below = true;
    stream_receive(tls->below);
}

static void send_below(struct tls_stream *tls)
{
    bool has_bytes = tls_buffer_length(&tls->pipe.outgoing) > 0 || (tls->is_open && tls->wants_send);
    if (tls->sends_below || !has_bytes)
        return;
    if (tls->failure || tls->write_failed) {
        engine_work_submit(&tls->work); /* where the owner is told */
        return;
    }
    tls->sends_below = true;
    stream_send(tls->below);
}

/* ---- the handshake ---- */

/* Once, when the peer has been told why, or cannot be. */
static void tell_handshake_failed(struct tls_stream *tls)
{
    if (tls_buffer_length(&tls->pipe.outgoing) > 0 && !tls->failure) {
        send_below(tls);
        return;
    }
    int failure = tls->failure ? tls->failure : EPROTO;
    tls->failure = failure;
    if (tls->is_told)
        return;
    tls->is_told = true;
    tls->stream.user->opened(tls->stream.owner, -failure);
}

static void shake_hands(struct tls_stream *tls)
{
    ERR_clear_error();
    int r = SSL_do_handshake(tls->ssl);
    if (r == 1) {
        tls->is_open = true;
        send_below(tls);
        engine_work_submit(&tls->work); /* for what the owner has asked for already */
        tls->stream.user->opened(tls->stream.owner, 0);
        return;
    }
    int error = SSL_get_error(tls->ssl, r);
    if (error == SSL_ERROR_WANT_READ && !tls->pipe.has_ended) {
        send_below(tls);
        receive_below(tls);
        return;
    }
    if (error == SSL_ERROR_WANT_RETRY_VERIFY) {
        tls->asks = true;
        set_text(tls, X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl)));
        tls->stream.user->opened(tls->stream.owner, STREAM_ASKS);
        return;
    }
    explain(tls);
    tls->handshake_failed = true;
    tell_handshake_failed(tls);
}

/* ---- receiving ---- */

/* Nothing comes after that, also if it is told later. */
static void stop(struct tls_stream *tls, int error)
{
    tls->has_stopped = true;
    tls->stop = error == SSL_ERROR_ZERO_RETURN ? 0 : EPROTO;
    if (tls->stop)
        explain(tls);
}

/* Fills the room with what there is: the count of bytes; or 0 at the end of the stream, -EAGAIN, or -EPROTO. */
static ssize_t decrypt(struct tls_stream *tls, uint8_t *room, size_t size)
{
    size_t got = tls_buffer_length(&tls->pushed_back) < size ? tls_buffer_length(&tls->pushed_back) : size;
    if (got > 0) {
        memcpy(room, tls->pushed_back.bytes + tls->pushed_back.taken, got);
        tls_buffer_take(&tls->pushed_back, got);
    }
    bool is_empty = false; /* more has to come from below */
    while (got < size && !is_empty && !tls->has_stopped) {
        size_t count;
        ERR_clear_error();
        int r = SSL_read_ex(tls->ssl, room + got, size - got, &count);
        int error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, r);
        got += r == 1 ? count : 0;
        is_empty = error == SSL_ERROR_WANT_READ;
        if (error != SSL_ERROR_NONE && !is_empty)
            stop(tls, error);
    }
    if (got > 0)
        return (ssize_t)got;
    return tls->has_stopped ? -tls->stop : -EAGAIN;
}

static void deliver(struct tls_stream *tls)
{
    const struct stream_user *user = tls->stream.user;
    void *owner = tls->stream.owner;
    size_t size = 0;
    if (!tls->wants_receive || tls->lacks_room)
        return;
    uint8_t *room = user->room(owner, &size);
    if (tls->is_closed)
        return;
    tls->lacks_room = !room;
    if (!room)
        return;
    ssize_t result = decrypt(tls, room, size);
    send_below(tls); /* what came may want an answer */
    if (result == -EAGAIN && !tls->pipe.has_ended) {
        user->room_unused(owner);
        receive_below(tls);
        return;
    }
    if (result == -EAGAIN || (result < 0 && tls->failure))
        result = tls->failure ? -tls->failure : -EPROTO;
    tls->wants_receive = false;
    user->received(owner, result);
}

/* Everything that was made of the owner's bytes is with the system, or will never be. */
static void tell_sent(struct tls_stream *tls, ssize_t result)
{
    tls->sent = 0;
    tls->wants_send = false;
    tls->stream.user->sent(tls->stream.owner, result);
}

static void advance(struct tls_stream *tls)
{
    if (tls->is_open && tls->wants_send && !tls->sends_below && (tls->failure || tls->write_failed))
        tell_sent(tls, tls->failure ? -tls->failure : -EPROTO);
    if (tls->is_closed)
        return;
    if (tls->is_open)
        deliver(tls);
    else if (!tls->handshake_failed && !tls->asks)
        shake_hands(tls);
}

static void on_turn(struct engine_work *work)
{
    advance((struct tls_stream *)(void *)((char *)work - offsetof(struct tls_stream, work)));
}

static uint8_t *on_room(void *owner, size_t *size)
{
    struct tls_stream *tls = owner;
    if (!tls->received_into)
        tls->received_into = malloc(tls->room);
    if (!tls->received_into) { /* nobody would say when there is some */
        tls->failure = ENOMEM;
        tls->pipe.has_ended = true;
        engine_work_submit(&tls->work);
    }
    *size = tls->room;
    return tls->received_into;
}

static void on_room_unused(void *owner)
{
    struct tls_stream *tls = owner;
    free(tls->received_into);
    tls->received_into = NULL;
}

/* Keeps what came, mostly without a copy. */
static bool keep(struct tls_stream *tls, size_t count)
{
    if (tls_buffer_length(&tls->pipe.incoming) > 0)
        return tls_buffer_append(&tls->pipe.incoming, tls->received_into, count);
    tls->pipe.incoming = (struct tls_buffer){.bytes = tls->received_into, .size = count, .room = tls->room};
    tls->received_into = NULL;
    return true;
}

/* A receive that fills its room is likely to be one of many. */
static void adapt_room(struct tls_stream *tls, size_t received)
{
    if (received == tls->room && tls->room < ROOM_MOST)
        tls->room *= 2;
    else if (received < tls->room / 4 && tls->room > ROOM_LEAST)
        tls->room /= 2;
}

static void on_received(void *owner, ssize_t result)
{
    struct tls_stream *tls = owner;
    tls->receives_below = false;
    if (result > 0 && !keep(tls, (size_t)result))
        result = -ENOMEM;
    adapt_room(tls, result > 0 ? (size_t)result : 0);
    if (result <= 0)
        tls->pipe.has_ended = true;
    if (result < 0)
        tls->failure = (int)-result;
    on_room_unused(tls);
    advance(tls);
}

/* ---- sending ---- */

/* How long what encrypt() makes of the bytes will be, at most. */
static size_t size_of_records(const struct iovec *vectors, int count)
{
    size_t size = 0;
    for (int i = 0; i < count && size < OUTGOING_MAX; i++)
        size += vectors[i].iov_len + RECORD_OVERHEAD * (vectors[i].iov_len / RECORD + 1);
    return size < OUTGOING_MAX ? size : OUTGOING_MAX + RECORD_OVERHEAD * (OUTGOING_MAX / RECORD + 1);
}

/* Encrypts what the owner has to send, as much as is sent at once. */
static void encrypt(struct tls_stream *tls)
{
    struct iovec vectors[VECTORS];
    int count = tls->stream.user->vectors(tls->stream.owner, vectors, VECTORS);
    if (count > 1 || (count == 1 && vectors[0].iov_len > RECORD))
        (void)tls_buffer_make_room(&tls->pipe.outgoing,
                                   size_of_records(vectors, count)); /* at once; else it grows by and by */
    for (int i = 0; i < count; i++) {
        const uint8_t *bytes = vectors[i].iov_base;
        size_t left = vectors[i].iov_len;
        while (left > 0 && tls_buffer_length(&tls->pipe.outgoing) < OUTGOING_MAX) {
            size_t taken; /* a record's worth */
            ERR_clear_error();
            if (SSL_write_ex(tls->ssl, bytes, left, &taken) != 1) {
                explain(tls);
                tls->write_failed = true;
                return;
            }
            tls->sent += taken;
            bytes += taken;
            left -= taken;
        }
    }
}

static int on_vectors(void *owner, struct iovec *vectors, int max)
{
    struct tls_stream *tls = owner;
    (void)max;
    if (tls_buffer_length(&tls->pipe.outgoing) == 0)
        encrypt(tls);
    if (tls->is_closed || tls_buffer_length(&tls->pipe.outgoing) == 0)
        return 0;
    vectors[0] =
        (struct iovec){tls->pipe.outgoing.bytes + tls->pipe.outgoing.taken, tls_buffer_length(&tls->pipe.outgoing)};
    return 1;
}

/* A receive that was put off, because the peer took nothing. */
static void resume_receiving(struct tls_stream *tls)
{
    bool shakes_hands = !tls->is_open && !tls->handshake_failed && !tls->asks;
    if (shakes_hands || (tls->wants_receive && !tls->lacks_room))
        receive_below(tls);
}

static void on_sent(void *owner, ssize_t result)
{
    struct tls_stream *tls = owner;
    tls->sends_below = false;
    if (result >= 0)
        tls_buffer_take(&tls->pipe.outgoing, (size_t)result);
    else
        tls->failure = (int)-result;
    if (tls->handshake_failed) {
        tell_handshake_failed(tls);
        return;
    }
    if (result < 0 || (tls->write_failed && tls_buffer_length(&tls->pipe.outgoing) == 0)) {
        tls_buffer_clear(&tls->pipe.outgoing);
        resume_receiving(tls);
        if (tls->wants_send)
            tell_sent(tls, result < 0 ? result : -EPROTO);
        return;
    }
    if (tls_buffer_length(&tls->pipe.outgoing) > 0) {
        send_below(tls);
        return;
    }
    resume_receiving(tls);
    bool ends = tls->shuts_down;
    tls->shuts_down = false;
    if (ends)
        (void)stream_shut_down(tls->below); /* if it fails the connection is broken, which shows elsewhere */
    if (tls->sent > 0 || (ends && !tls->wants_send))
        tell_sent(tls, (ssize_t)tls->sent);
    else
        send_below(tls);
}

/* The owner's bytes have become part of `outgoing`, which stays: for the owner nothing has changed. */
static void on_bytes_unused(void *owner)
{
    (void)owner;
}

/* ---- the rest of what the owner asks for ---- */

static void receive(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->wants_receive = true;
    if (SSL_has_pending(tls->ssl) || tls_buffer_length(&tls->pipe.incoming) > 0 ||
        tls_buffer_length(&tls->pushed_back) > 0 || tls->pipe.has_ended || tls->has_stopped)
        engine_work_submit(&tls->work);
    else
        receive_below(tls);
}

static void receive_retry(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    if (!tls->lacks_room)
        return;
    tls->lacks_room = false;
    engine_work_submit(&tls->work);
}

/* The receive below may go on: it has room of its own. */
static bool receive_withdraw(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->wants_receive = tls->lacks_room = false;
    return true;
}

static int push_back(struct stream *stream, const void *bytes, size_t size)
{
    struct tls_stream *tls = tls_of(stream);
    struct tls_buffer all = {0};
    const struct tls_buffer *before = &tls->pushed_back;
    if (!tls_buffer_append(&all, bytes, size) ||
        !tls_buffer_append(&all, before->bytes + before->taken, tls_buffer_length(before))) {
        tls_buffer_clear(&all);
        return -ENOMEM;
    }
    tls_buffer_clear(&tls->pushed_back);
    tls->pushed_back = all;
    if (tls->wants_receive)
        engine_work_submit(&tls->work);
    return 0;
}

static void send_bytes(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->wants_send = true;
    send_below(tls);
}

static void send_withdraw(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->wants_send = false;
    if (!tls->sends_below || tls_buffer_length(&tls->pipe.outgoing) > 0)
        return;
    tls->sends_below = false;
    stream_send_withdraw(tls->below);
}

static int shut_down(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    if (tls->failure || !tls->is_open)
        return tls->failure ? -tls->failure : -ENOTCONN;
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
    if (tls_buffer_length(&tls->pipe.outgoing) == 0 && !tls->sends_below)
        return stream_shut_down(tls->below); /* TLS has broken, and has no words for it any more */
    tls->shuts_down = true;
    send_below(tls);
    return 0;
}

static bool holds(const struct stream *stream)
{
    const struct tls_stream *tls = (const struct tls_stream *)stream;
    return tls_buffer_length(&tls->pipe.outgoing) > 0 && !tls->failure;
}

static void watch_break(struct stream *stream)
{
    stream_watch_break(tls_of(stream)->below);
}

static void on_broke(void *owner, int os_error)
{
    struct tls_stream *tls = owner;
    tls->stream.user->broke(tls->stream.owner, os_error);
}

static void close_stream(struct stream *stream, enum stream_end end)
{
    struct tls_stream *tls = tls_of(stream);
    tls->is_closed = true;
    engine_work_cancel(&tls->work);
    stream_close(tls->below, end);
}

static void on_closed(void *owner)
{
    struct tls_stream *tls = owner;
    const struct stream stream = tls->stream;
    /* Else OpenSSL takes the session for one that must not be resumed, which TLS has not asked for since 1.1. */
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    tls_buffer_clear(&tls->pipe.incoming);
    tls_buffer_clear(&tls->pipe.outgoing);
    tls_buffer_clear(&tls->pushed_back);
    free(tls->received_into);
    free(tls);
    stream.user->closed(stream.owner);
}

static const struct stream_kind tls_kind = {
    .receive = receive,
    .receive_retry = receive_retry,
    .receive_withdraw = receive_withdraw,
    .push_back = push_back,
    .send = send_bytes,
    .send_withdraw = send_withdraw,
    .shut_down = shut_down,
    .holds = holds,
    .watch_break = watch_break,
    .close = close_stream,
};

static const struct stream_user user_of_below = {
    .room = on_room,
    .received = on_received,
    .room_unused = on_room_unused,
    .vectors = on_vectors,
    .sent = on_sent,
    .bytes_unused = on_bytes_unused,
    .broke = on_broke,
    .closed = on_closed,
};

/* ---- making it, and questions ---- */

struct stream *tls_stream_new(struct stream *below, struct time_slice *slice, SSL *ssl, enum tls_role role)
{
    struct tls_stream *tls = calloc(1, sizeof *tls);
    BIO *bio = tls ? tls_pipe_bio(&tls->pipe) : NULL;
    if (!bio) {
        SSL_free(ssl);
        free(tls);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (role == TLS_SERVER)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    tls->ssl = ssl;
    tls->room = ROOM_LEAST;
    tls->below = below;
    tls->work = (struct engine_work){.run = on_turn, .slice = slice};
    list_init(&tls->work.node);
    stream_put_on(&tls->stream, &tls_kind, below, &user_of_below);
    engine_work_submit(&tls->work);
    return &tls->stream;
}

void tls_stream_trust(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->asks = false;
    *tls->text = '\0';
    tls_credentials_trust(tls->ssl);
    engine_work_submit(&tls->work);
}

const char *tls_stream_failure(const struct stream *stream)
{
    return ((const struct tls_stream *)stream)->text;
}

SSL *tls_stream_ssl(const struct stream *stream)
{
    return ((const struct tls_stream *)stream)->ssl;
}
