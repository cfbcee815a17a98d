/*
 * Both ends of a socket, as the reply that makes a handle carries them: 40 fixed bytes, so that an accept needs no
 * protobuf and the client can answer the getters from its cache.
 *
 *    offset  size  field
 *         0     1  length of the local address: 4 or 16
 *         1     1  length of the remote address: 4 or 16, 0 for a listener
 *         2     2  local port, little-endian like all integers of the frame
 *         4     2  remote port, 0 for a listener
 *         6     2  options: bit 0 keep-alive, bit 1 no-delay
 *         8    16  local address in network order, zero-padded
 *        24    16  remote address in network order, zero-padded
 */
#ifndef OCHE_PROTO_ENDPOINTS_H
#define OCHE_PROTO_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

enum { ENDPOINTS_SIZE = 40 };

struct endpoint {
    uint8_t address[16];
    uint8_t address_length; /* 4, 16, or 0: there is none */
    uint16_t port;
};

struct endpoints {
    struct endpoint local;
    struct endpoint remote;
    bool keep_alive;
    bool no_delay;
};

void endpoints_encode(const struct endpoints *endpoints, uint8_t out[ENDPOINTS_SIZE]);

/* False if a length is impossible. */
bool endpoints_decode(struct endpoints *endpoints, const uint8_t in[ENDPOINTS_SIZE]);

#endif
