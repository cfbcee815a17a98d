/*
 * The first exchange on a new connection: HELLO and its answer.
 */
#ifndef OCHE_CLIENT_CONNECT_HELLO_H
#define OCHE_CLIENT_CONNECT_HELLO_H

#include "client/os/deadline.h"
#include "proto/handover.h"
#include "proto/memory.h"

#include <stdbool.h>
#include <stdint.h>

/* The descriptors of the memory lane, in the order in which they come. */
enum welcome_descriptor { WELCOME_MEMORY, WELCOME_CLIENT_BELL, WELCOME_DAEMON_BELL, WELCOME_DESCRIPTORS };

/* What is asked for. */
struct hello {
    bool memory;          /* the memory lane */
    uint32_t arena_size;  /* bytes of each arena of the memory lane; 0: the daemon's default */
    const uint8_t *token; /* HANDOVER_TOKEN_SIZE bytes: the listeners of the session that had it; NULL: none */
    uint32_t generation;  /* with a token: the newest generation of a handle so far */
};

/* What the daemon grants. */
struct welcome {
    uint64_t session; /* its number in the daemon's log */
    uint64_t queued_bytes_max;
    bool has_memory; /* the session is on the memory lane from now on */
    struct memory_sizes memory;
    bool has_token; /* the daemon may hand over, and then this is what its successor knows us by */
    uint8_t token[HANDOVER_TOKEN_SIZE];
    bool resumed;                         /* the listeners that were asked for are there */
    int descriptors[WELCOME_DESCRIPTORS]; /* -1: not there, or taken */
};

/* True if all descriptors came, and the daemon's bell can be rung without harm: no pipe, and nothing that blocks. */
bool welcome_is_complete(const struct welcome *welcome);

/* Closes the descriptors that nobody has taken. */
void welcome_deinit(struct welcome *welcome);

/* Besides 0 and negative OCHE_ERR_ codes. A daemon that closes the connection may just be leaving. */
enum {
    HELLO_HUNG_UP = 1,
    HELLO_SILENT, /* nothing came before the deadline */
};

/* Says hello on a connected, non-blocking socket, which stays the caller's. 0 and *welcome, one of these, or a negative
 * OCHE_ERR_ code, whose reason is in the diagnostics; OCHE_ERR_CLOSED: cancelled. */
int64_t hello_exchange(int fd, const struct deadline *deadline, const struct hello *wanted, struct welcome *welcome);

#endif
