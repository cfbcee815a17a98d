/*
 * The bodies of the frames that the client makes.
 */
#ifndef OCHE_CLIENT_SESSION_BODY_H
#define OCHE_CLIENT_SESSION_BODY_H

#include <assert.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

enum { BODY_MAX = 512 /* bytes of the largest body of a request: a CONNECT with the name of a server */ };

/* Returns the length. */
static inline size_t body_pack(const ProtobufCMessage *message, uint8_t body[BODY_MAX])
{
    size_t length = protobuf_c_message_get_packed_size(message);
    assert(length <= BODY_MAX);
    return protobuf_c_message_pack(message, body);
}

#endif
