/*
 * The first exchange on a new connection: HELLO and its answer.
 */
#ifndef OCHE_CLIENT_HANDSHAKE_H
#define OCHE_CLIENT_HANDSHAKE_H

#include "client/deadline.h"
#include "proto/memory.h"

#include <stdbool.h>
#include <stdint.h>

/* The descriptors of the memory lane, in the order in which they come. */
enum welcome_descriptor { WELCOME_MEMORY, WELCOME_CLIENT_BELL, WELCOME_DAEMON_BELL, WELCOME_DESCRIPTORS };

/* What the daemon grants. */
struct welcome {
    uint64_t session; /* its number in the daemon's log */
    uint64_t queued_bytes_max;
    bool has_memory; /* the session is on the memory lane from now on */
    struct memory_sizes memory;
    int descriptors[WELCOME_DESCRIPTORS]; /* -1: not there, or taken */
};

/* True if all descriptors came, and the daemon's bell can be rung without harm: no pipe, and nothing that blocks. */
bool welcome_is_complete(const struct welcome *welcome);

/* Closes the descriptors that nobody has taken. */
void welcome_deinit(struct welcome *welcome);

/* Besides 0 and negative OCHE_ERR_ codes: the daemon closed the connection. It may just be leaving. */
enum { HANDSHAKE_HUNG_UP = 1 };

/* Says hello on a connected, non-blocking socket, which stays the caller's; `memory` asks for the memory lane, with
 * arenas of `arena_size` bytes (0: the daemon's default). 0 and *welcome, HANDSHAKE_HUNG_UP, or a negative OCHE_ERR_
 * code, whose reason is in the diagnostics; OCHE_ERR_CLOSED: cancelled. */
int64_t handshake(int fd, const struct deadline *deadline, bool memory, uint32_t arena_size, struct welcome *welcome);

#endif
