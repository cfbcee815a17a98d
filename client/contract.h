/*
 * What the numbers of tcp_socket.h may be. They are wider than those of requests.h, and are checked before they are
 * cut.
 */
#ifndef OCHE_CLIENT_CONTRACT_H
#define OCHE_CLIENT_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

static inline bool contract_is_length(int64_t address_length)
{
    return address_length == 4 || address_length == 16;
}

static inline bool contract_is_port(int64_t port)
{
    return port >= 0 && port <= UINT16_MAX;
}

#endif
