#include "daemon/tls/tls_pipe.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- buffers ---- */

size_t tls_buffer_length(const struct tls_buffer *buffer)
{
    return buffer->size - buffer->taken;
}

void tls_buffer_clear(struct tls_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct tls_buffer){0};
}

void tls_buffer_take(struct tls_buffer *buffer, size_t count)
{
    buffer->taken += count;
    if (buffer->taken == buffer->size)
        tls_buffer_clear(buffer); /* who is idle has no memory for it */
}

bool tls_buffer_make_room(struct tls_buffer *buffer, size_t count)
{
    if (buffer->room - buffer->size >= count)
        return true;
    size_t room = buffer->size + count > 2 * buffer->room ? buffer->size + count : 2 * buffer->room;
    uint8_t *larger = realloc(buffer->bytes, room);
    if (!larger)
        return false;
    buffer->bytes = larger;
    buffer->room = room;
    return true;
}

bool tls_buffer_append(struct tls_buffer *buffer, const void *bytes, size_t count)
{
    if (count == 0)
        return true;
    if (!tls_buffer_make_room(buffer, count))
        return false;
    memcpy(buffer->bytes + buffer->size, bytes, count);
    buffer->size += count;
    return true;
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *to, size_t size, size_t *count)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    size_t length = tls_buffer_length(&pipe->incoming);
    BIO_clear_retry_flags(bio);
    if (length == 0) {
        if (!pipe->has_ended)
            BIO_set_retry_read(bio);
        return 0;
    }
    *count = length < size ? length : size;
    memcpy(to, pipe->incoming.bytes + pipe->incoming.taken, *count);
    tls_buffer_take(&pipe->incoming, *count);
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t size, size_t *count)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!tls_buffer_append(&pipe->outgoing, from, size))
        return 0;
    *count = size;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_pipe *pipe = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return pipe->has_ended && tls_buffer_length(&pipe->incoming) == 0;
    default:
        return 0;
    }
}

static BIO_METHOD *method; /* made once, and never freed */

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "oche stream");
    if (!method)
        return;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
}

BIO *tls_pipe_bio(struct tls_pipe *pipe)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    if (!CRYPTO_THREAD_run_once(&once, make_method) || !method)
        return NULL;
    BIO *bio = BIO_new(method);
    if (!bio)
        return NULL;
    BIO_set_data(bio, pipe);
    BIO_set_init(bio, 1);
    return bio;
}
