/*
 * The handle as the application sees it: the handle on the wire (proto/handle.h) and, above it, a
 * tag that says which session it belongs to. So a handle finds its session without asking the Dart
 * VM which isolate is calling.
 *
 *    bits 0–39 handle on the wire, bits 40–51 generation of the session, bits 52–62 its index
 *
 * The generation of a session changes whenever the daemon could hand out the same wire handles
 * anew: when the session is opened, and when it is lost. It wraps after 4096 of these; a handle
 * would have to be kept that long to be mistaken.
 */
#ifndef OCHE_CLIENT_SESSION_PUBLIC_HANDLE_H
#define OCHE_CLIENT_SESSION_PUBLIC_HANDLE_H

#include "proto/handle.h"

#include <assert.h>

#include <stdint.h>

enum {
    PUBLIC_GENERATION_BITS = 12,
    PUBLIC_GENERATION_MAX = (1 << PUBLIC_GENERATION_BITS) - 1,
    PUBLIC_SESSION_BITS = 11,
    PUBLIC_SESSIONS = 1 << PUBLIC_SESSION_BITS, /* open in one process at once */
};

static_assert(HANDLE_BITS + PUBLIC_GENERATION_BITS + PUBLIC_SESSION_BITS == 63,
              "a public handle fills an int64_t and stays positive");

static inline int64_t public_tag_make(unsigned session, unsigned generation)
{
    return ((int64_t)session << PUBLIC_GENERATION_BITS | generation) << HANDLE_BITS;
}

static inline int64_t public_tag(int64_t handle)
{
    return handle >> HANDLE_BITS << HANDLE_BITS;
}

/* Of a positive handle. */
static inline unsigned public_session(int64_t handle)
{
    return (unsigned)(handle >> (HANDLE_BITS + PUBLIC_GENERATION_BITS));
}

static inline int64_t public_to_wire(int64_t handle)
{
    return handle & (((int64_t)1 << HANDLE_BITS) - 1);
}

#endif
