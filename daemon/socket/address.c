#include "daemon/socket/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

bool address_from_wire(struct address *address, const uint8_t *bytes, size_t length, uint32_t scope_id, uint32_t port)
{
    *address = (struct address){0};
    if (port > UINT16_MAX)
        return false;
    if (length == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        memcpy(&in->sin_addr, bytes, 4);
        address->length = sizeof *in;
        return true;
    }
    if (length == 16) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        memcpy(&in6->sin6_addr, bytes, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6->sin6_addr))
            in6->sin6_scope_id = scope_id;
        address->length = sizeof *in6;
        return true;
    }
    return false;
}

void address_any(struct address *address, const struct address *like, uint16_t port)
{
    static const uint8_t zeros[16];
    address_from_wire(address, zeros, like->storage.ss_family == AF_INET ? 4 : 16, 0, port);
}

bool address_is_any(const struct address *address)
{
    struct address any;
    address_any(&any, address, 0);
    return address->length == any.length && memcmp(&address->storage, &any.storage, any.length) == 0;
}

bool address_to_endpoint(struct endpoint *endpoint, const struct sockaddr_storage *storage)
{
    *endpoint = (struct endpoint){0};
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        memcpy(endpoint->address, &in->sin_addr, 4);
        endpoint->address_length = 4;
        endpoint->port = ntohs(in->sin_port);
        return true;
    }
    if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
        memcpy(endpoint->address, &in6->sin6_addr, 16);
        endpoint->address_length = 16;
        endpoint->port = ntohs(in6->sin6_port);
        endpoint->scope_id = in6->sin6_scope_id;
        return true;
    }
    return false;
}

const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";
    struct endpoint endpoint;
    address_to_endpoint(&endpoint, &address->storage);
    inet_ntop(address->storage.ss_family, endpoint.address, host, sizeof host);
    if (endpoint.scope_id != 0)
        snprintf(scope, sizeof scope, "%%%u", (unsigned)endpoint.scope_id);
    snprintf(out, ADDRESS_TEXT_SIZE, endpoint.address_length == 16 ? "[%s%s]:%u" : "%s%s:%u", host, scope,
             endpoint.port);
    return out;
}
