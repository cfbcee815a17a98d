/*
 * What the numbers of tcp_socket.h may be. They are wider than those of operations.h, and are checked before they are
 * cut.
 */
#ifndef OCHE_CLIENT_TCP_ARGUMENTS_H
#define OCHE_CLIENT_TCP_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool tcp_arguments_is_length(int64_t address_length)
{
    return address_length == 4 || address_length == 16;
}

enum { TCP_ARGUMENTS_SCOPED_LENGTH = 20 };

/* The same, and 20: an address of 16 bytes with a scope id of four behind it (oche.h). */
static inline bool tcp_arguments_is_scoped_length(int64_t address_length)
{
    return tcp_arguments_is_length(address_length) || address_length == TCP_ARGUMENTS_SCOPED_LENGTH;
}

static inline size_t tcp_arguments_address_length(int64_t scoped_length)
{
    return scoped_length == TCP_ARGUMENTS_SCOPED_LENGTH ? 16 : (size_t)scoped_length;
}

static inline uint32_t tcp_arguments_scope_id(const uint8_t *address, int64_t scoped_length)
{
    uint32_t scope_id = 0;
    if (address && scoped_length == TCP_ARGUMENTS_SCOPED_LENGTH)
        memcpy(&scope_id, address + 16, sizeof scope_id);
    return scope_id;
}

static inline bool tcp_arguments_is_port(int64_t port)
{
    return port >= 0 && port <= UINT16_MAX;
}

#endif
