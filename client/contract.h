/*
 * What the numbers of tcp_socket.h may be. They are wider than those of requests.h, and are checked before they are
 * cut.
 */
#ifndef OCHE_CLIENT_CONTRACT_H
#define OCHE_CLIENT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool contract_is_length(int64_t address_length)
{
    return address_length == 4 || address_length == 16;
}

enum { CONTRACT_SCOPED_LENGTH = 20 };

/* The same, and 20: an address of 16 bytes with a scope id of four behind it (oche.h). */
static inline bool contract_is_scoped_length(int64_t address_length)
{
    return contract_is_length(address_length) || address_length == CONTRACT_SCOPED_LENGTH;
}

static inline size_t contract_address_length(int64_t scoped_length)
{
    return scoped_length == CONTRACT_SCOPED_LENGTH ? 16 : (size_t)scoped_length;
}

static inline uint32_t contract_scope_id(const uint8_t *address, int64_t scoped_length)
{
    uint32_t scope_id = 0;
    if (address && scoped_length == CONTRACT_SCOPED_LENGTH)
        memcpy(&scope_id, address + 16, sizeof scope_id);
    return scope_id;
}

static inline bool contract_is_port(int64_t port)
{
    return port >= 0 && port <= UINT16_MAX;
}

#endif
