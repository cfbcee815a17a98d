/*
 * Which addresses and ports clients may use: lists of what is allowed. An empty list allows everything.
 *
 * An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the IPv4 address that it stands for, in rules as in requests. Rules
 * for IPv6 say nothing about IPv4, ::/0 neither.
 */
#ifndef OCHE_DAEMON_SOCKET_POLICY_H
#define OCHE_DAEMON_SOCKET_POLICY_H

#include "daemon/socket/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POLICY_RULES_MAX = 128 };

struct policy_rule {
    uint8_t address[16];
    uint8_t address_length; /* 4 or 16 */
    uint8_t prefix;         /* bits that must be equal */
    uint16_t port_first;
    uint16_t port_last;
};

struct policy_list {
    unsigned count;
    struct policy_rule rules[POLICY_RULES_MAX];
};

struct policy {
    struct policy_list connect; /* remote addresses */
    struct policy_list listen;  /* local addresses: of listeners, and of connections that say where they come from */
};

/* Adds ADDRESS[/PREFIX][:PORT[-PORT]]; an IPv6 address with ports is in brackets, [ADDRESS][/PREFIX]:PORT. NULL, or
 * what is wrong with it. */
const char *policy_add(struct policy_list *list, const char *text);

bool policy_allows(const struct policy_list *list, const struct address *address);

/* For a listener: one at :: that is not for IPv6 only is one at 0.0.0.0 as well. */
bool policy_allows_listener(const struct policy_list *list, const struct address *address, bool v6_only);

#endif
