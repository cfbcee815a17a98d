/*
 * Both ends of a socket, as the reply that makes a handle carries them: a fixed record, so that an accept needs no
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
 *        40     4  scope id of the local address: the system's number of an interface if it is link-local, else 0
 *        44     4  scope id of the remote address
 */
#ifndef OCHE_PROTO_ENDPOINTS_H
#define OCHE_PROTO_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENDPOINTS_SIZE = 48 };

struct endpoint {
    uint8_t address[16];
    uint8_t address_length; /* 4, 16, or 0: there is none */
    uint16_t port;
    uint32_t scope_id; /* of a link-local IPv6 address: its interface; else 0 */
};

struct endpoints {
    struct endpoint local;
    struct endpoint remote;
    bool keep_alive;
    bool no_delay;
};

/*
 * One end alone, with which the payload of a datagram begins: where it comes from, or goes to.
 *
 *    offset  size  field
 *         0     1  length of the address: 4, 16, or 0: the socket knows
 *         1     1  0
 *         2     2  port
 *         4     4  scope id
 *         8    16  address in network order, zero-padded
 */
enum { ENDPOINT_SIZE = 24 };

void endpoint_encode(const struct endpoint *endpoint, uint8_t out[ENDPOINT_SIZE]);

/* False if there are not so many bytes, or the address has an impossible length. */
bool endpoint_decode(struct endpoint *endpoint, const uint8_t *in, size_t length);

void endpoints_encode(const struct endpoints *endpoints, uint8_t out[ENDPOINTS_SIZE]);

/* False if `length` is not that of the record, or an address has an impossible one. */
bool endpoints_decode(struct endpoints *endpoints, const uint8_t *in, size_t length);

#endif
