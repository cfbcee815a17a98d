/*
 * TLS as a filter that lies on a stream.
 *
 * It begins with the handshake, of which `opened` tells the end; until then nothing is received or sent for the owner.
 * A client that wants to be asked about certificates that do not verify is told STREAM_ASKS before.
 * Bytes of the owner are encrypted when the stream below can send, as many as go at once, and count as sent when the
 * system has all of what became of them. What comes is decrypted straight into the owner's room; what is left when
 * there is no room is kept as it came.
 *
 * The end of what is received is the peer's close_notify. A connection that ends without it ends with -EPROTO, and so
 * does one whose bytes make no sense.
 */
#ifndef OCHE_DAEMON_TLS_TLS_STREAM_H
#define OCHE_DAEMON_TLS_TLS_STREAM_H

#include "daemon/engine/time_slice.h"
#include "daemon/stream/stream.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct tls_stream;

enum tls_role { TLS_CLIENT, TLS_SERVER };

/* Puts TLS on an open stream, and begins the handshake. Takes over `ssl`, which has all that it needs but its BIOs.
 * NULL: out of memory, and `ssl` is freed. */
struct stream *tls_stream_new(struct stream *below, struct time_slice *slice, SSL *ssl, enum tls_role role);

/* After STREAM_ASKS: the handshake goes on, as if the certificate had verified. */
void tls_stream_trust(struct stream *stream);

/* Why the handshake, or the stream, has failed, or what is to be decided after STREAM_ASKS: a sentence; "" if neither
 * is the case. Valid as long as the stream. */
const char *tls_stream_failure(const struct stream *stream);

/* For questions. */
SSL *tls_stream_ssl(const struct stream *stream);

#endif
