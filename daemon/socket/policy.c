#include "daemon/socket/policy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPED_BITS = 96 };

static const uint8_t mapped[MAPPED_BITS / 8] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t zeros[16];

/* ---- matching ---- */

/* An IPv4-mapped address becomes the IPv4 address. */
static void unmap(uint8_t address[16], uint8_t *length)
{
    if (*length != 16 || memcmp(address, mapped, sizeof mapped) != 0)
        return;
    memmove(address, address + sizeof mapped, 4);
    *length = 4;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

static bool matches(const struct policy_rule *rule, const struct endpoint *endpoint)
{
    return rule->address_length == endpoint->address_length && endpoint->port >= rule->port_first &&
           endpoint->port <= rule->port_last && same_bits(rule->address, endpoint->address, rule->prefix);
}

bool policy_allows(const struct policy_list *list, const struct address *address)
{
    struct endpoint endpoint;
    if (list->count == 0)
        return true;
    if (!address_to_endpoint(&endpoint, &address->storage))
        return false;
    unmap(endpoint.address, &endpoint.address_length);
    for (unsigned i = 0; i < list->count; i++) {
        if (matches(&list->rules[i], &endpoint))
            return true;
    }
    return false;
}

bool policy_allows_listener(const struct policy_list *list, const struct address *address, bool v6_only)
{
    struct endpoint endpoint;
    struct address any;
    if (!policy_allows(list, address))
        return false;
    if (v6_only || !address_to_endpoint(&endpoint, &address->storage) || endpoint.address_length != 16 ||
        memcmp(endpoint.address, zeros, sizeof zeros) != 0)
        return true;
    return address_from_wire(&any, zeros, 4, 0, endpoint.port) && policy_allows(list, &any);
}

/* ---- parsing ---- */

/* Reads a whole number at *text, and leaves *text behind it. */
static bool take_number(const char **text, unsigned long maximum, unsigned long *number)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *number = strtoul(*text, &end, 10);
    *text = end;
    return *number <= maximum;
}

/* The address, up to any of the characters in `ends`; leaves *text behind it. */
static bool take_address(const char **text, const char *ends, struct policy_rule *rule)
{
    char host[INET6_ADDRSTRLEN];
    size_t length = strcspn(*text, ends);
    if (length >= sizeof host)
        return false;
    memcpy(host, *text, length);
    host[length] = '\0';
    *text += length;
    rule->address_length = strchr(host, ':') ? 16 : 4;
    return inet_pton(rule->address_length == 16 ? AF_INET6 : AF_INET, host, rule->address) == 1;
}

/* 192.0.2.1, [2001:db8::1], or 2001:db8::1, which no port can follow. */
static const char *parse_address(const char **text, struct policy_rule *rule)
{
    static const char wrong[] = "that is no IPv4 or IPv6 address";
    if (**text == '[') {
        ++*text;
        if (!take_address(text, "]", rule) || rule->address_length != 16 || **text != ']')
            return wrong;
        ++*text;
        return NULL;
    }
    const char *colon = strchr(*text, ':');
    bool is_6 = colon && strchr(colon + 1, ':');
    return take_address(text, is_6 ? "/" : "/:", rule) ? NULL : wrong;
}

static const char *parse_prefix(const char **text, struct policy_rule *rule)
{
    unsigned long bits = rule->address_length * 8UL;
    if (**text == '/') {
        ++*text;
        if (!take_number(text, bits, &bits))
            return "the prefix is no whole number, or longer than the address";
    }
    uint8_t cleared[16] = {0};
    memcpy(cleared, rule->address, bits / 8);
    if (bits % 8)
        cleared[bits / 8] = (uint8_t)(rule->address[bits / 8] & (0xff00 >> bits % 8));
    /* Likely a mistake, and this is no place for those. */
    if (memcmp(cleared, rule->address, rule->address_length) != 0)
        return "the address has bits beyond its prefix";
    uint8_t before = rule->address_length;
    if (before == 16 && bits >= MAPPED_BITS)
        unmap(rule->address, &rule->address_length);
    rule->prefix = (uint8_t)(rule->address_length == before ? bits : bits - MAPPED_BITS);
    return NULL;
}

static const char *parse_ports(const char **text, struct policy_rule *rule)
{
    unsigned long first = 0, last = UINT16_MAX;
    if (**text == ':') {
        ++*text;
        if (!take_number(text, UINT16_MAX, &first))
            return "a port is a whole number up to 65535";
        last = first;
        if (**text == '-') {
            ++*text;
            if (!take_number(text, UINT16_MAX, &last) || last < first)
                return "the last port is none, or before the first";
        }
    }
    rule->port_first = (uint16_t)first;
    rule->port_last = (uint16_t)last;
    return NULL;
}

const char *policy_add(struct policy_list *list, const char *text)
{
    struct policy_rule rule = {.address_length = 0};
    const char *wrong = parse_address(&text, &rule);
    if (!wrong)
        wrong = parse_prefix(&text, &rule);
    if (!wrong)
        wrong = parse_ports(&text, &rule);
    if (!wrong && *text)
        wrong = "it must look like ADDRESS[/PREFIX][:PORT[-PORT]]";
    if (!wrong && list->count == POLICY_RULES_MAX)
        wrong = "that is one more than 128";
    if (!wrong)
        list->rules[list->count++] = rule;
    return wrong;
}
