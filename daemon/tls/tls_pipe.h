/*
 * Ciphertext on its way between OpenSSL and a stream: what came, which OpenSSL reads, and what it writes, which is to
 * be sent. Neither waits: OpenSSL is told to come again when nothing has come.
 */
#ifndef OCHE_DAEMON_TLS_TLS_PIPE_H
#define OCHE_DAEMON_TLS_TLS_PIPE_H

#include <openssl/bio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes, of which the first ones have been taken. All zero: none, and no memory for any. */
struct tls_buffer {
    uint8_t *bytes;
    size_t size;
    size_t taken;
    size_t room;
};

size_t tls_buffer_length(const struct tls_buffer *buffer);

/* Whoever has taken everything has no memory for it any more. */
void tls_buffer_take(struct tls_buffer *buffer, size_t count);
void tls_buffer_clear(struct tls_buffer *buffer);

/* For `count` bytes more than there are. False: no memory. */
bool tls_buffer_make_room(struct tls_buffer *buffer, size_t count);
bool tls_buffer_append(struct tls_buffer *buffer, const void *bytes, size_t count);

struct tls_pipe {
    struct tls_buffer incoming;
    struct tls_buffer outgoing; /* what the system has not taken */
    bool has_ended;             /* nothing more will come */
};

/* For both directions of an SSL. NULL: out of memory. The pipe has to live as long. */
BIO *tls_pipe_bio(struct tls_pipe *pipe);

#endif
