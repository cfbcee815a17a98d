#include "proto/endpoints.h"

#include "proto/endian.h"

#include <string.h>

enum { KEEP_ALIVE = 1 << 0, NO_DELAY = 1 << 1 };

void endpoints_encode(const struct endpoints *endpoints, uint8_t out[ENDPOINTS_SIZE])
{
    out[0] = endpoints->local.address_length;
    out[1] = endpoints->remote.address_length;
    put_u16(out + 2, endpoints->local.port);
    put_u16(out + 4, endpoints->remote.port);
    put_u16(out + 6, (uint16_t)((endpoints->keep_alive ? KEEP_ALIVE : 0) | (endpoints->no_delay ? NO_DELAY : 0)));
    memcpy(out + 8, endpoints->local.address, 16);
    memcpy(out + 24, endpoints->remote.address, 16);
    put_u32(out + 40, endpoints->local.scope_id);
    put_u32(out + 44, endpoints->remote.scope_id);
}

bool endpoints_decode(struct endpoints *endpoints, const uint8_t *in, size_t length)
{
    if (length != ENDPOINTS_SIZE)
        return false;
    uint8_t local = in[0], remote = in[1];
    uint16_t options = get_u16(in + 6);
    *endpoints = (struct endpoints){
        .local = {.address_length = local, .port = get_u16(in + 2)},
        .remote = {.address_length = remote, .port = get_u16(in + 4)},
        .keep_alive = options & KEEP_ALIVE,
        .no_delay = options & NO_DELAY,
    };
    memcpy(endpoints->local.address, in + 8, 16);
    memcpy(endpoints->remote.address, in + 24, 16);
    endpoints->local.scope_id = get_u32(in + 40);
    endpoints->remote.scope_id = get_u32(in + 44);
    return (local == 4 || local == 16) && (remote == 0 || remote == 4 || remote == 16);
}

void endpoint_encode(const struct endpoint *endpoint, uint8_t out[ENDPOINT_SIZE])
{
    out[0] = endpoint->address_length;
    out[1] = 0;
    put_u16(out + 2, endpoint->port);
    put_u32(out + 4, endpoint->scope_id);
    memcpy(out + 8, endpoint->address, 16);
}

bool endpoint_decode(struct endpoint *endpoint, const uint8_t *in, size_t length)
{
    if (length < ENDPOINT_SIZE)
        return false;
    *endpoint = (struct endpoint){.address_length = in[0], .port = get_u16(in + 2), .scope_id = get_u32(in + 4)};
    memcpy(endpoint->address, in + 8, 16);
    /* What was decoded, for the bytes may lie in memory that the other side can change. */
    uint8_t decoded = endpoint->address_length;
    return decoded == 0 || decoded == 4 || decoded == 16;
}
