/*
 * What can be asked about a connection with TLS.
 */
#ifndef OCHE_DAEMON_TLS_TLS_INFO_H
#define OCHE_DAEMON_TLS_TLS_INFO_H

#include <stdint.h>
#include <sys/types.h>

struct stream;

/* The bytes of an item (proto/tls_item.h), in memory that the caller frees: their count, which is 0 if there is nothing
 * to say. -EINVAL: there is no such item; -ENOMEM. */
ssize_t tls_info_get(const struct stream *stream, int64_t item, uint8_t **bytes);

#endif
