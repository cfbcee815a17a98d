/*
 * Addresses between the wire (4 or 16 raw bytes and a port) and the system (sockaddr).
 */
#ifndef OCHE_DAEMON_SOCKET_ADDRESS_H
#define OCHE_DAEMON_SOCKET_ADDRESS_H

#include "proto/endpoints.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* Room for "[ffff:…%4294967295]:65535" and the final zero. */
enum { ADDRESS_TEXT_SIZE = 68 };

/* A scope id is dropped where the system ignores it, which is everywhere but in link-local IPv6 addresses. False if
 * `length` is neither 4 nor 16, or `port` is no port. */
bool address_from_wire(struct address *address, const uint8_t *bytes, size_t length, uint32_t scope_id, uint32_t port);

/* Of the family of `like`, any address, the given port. */
void address_any(struct address *address, const struct address *like, uint16_t port);

/* Any address, and port 0. */
bool address_is_any(const struct address *address);

bool address_to_endpoint(struct endpoint *endpoint, const struct sockaddr_storage *storage);

/* "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80", for the log. Returns `out`. */
const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE]);

#endif
