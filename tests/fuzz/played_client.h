/*
 * A client of the daemon that an input plays, at the other end of the Unix-domain socket, and of the shared memory
 * once the daemon has given it: it may say anything, and write anywhere.
 *
 * As long as it is honest it checks that each of its requests is answered once.
 */
#ifndef OCHE_TESTS_FUZZ_PLAYED_CLIENT_H
#define OCHE_TESTS_FUZZ_PLAYED_CLIENT_H

#include "daemon/session/socket_table.h"
#include "proto/arena.h"
#include "proto/bytes.h"
#include "proto/frame_reader.h"
#include "proto/memory.h"
#include "proto/ring.h"
#include "tests/fuzz/input.h"

enum { PLAYED_CLIENT_HELD = 32 };

/* What the daemon's data in the arena have to be released with. */
struct played_client_held {
    uint32_t offset, length;
};

struct played_client {
    struct input *input;
    const struct socket_table *sockets; /* the session's, for handles of them; NULL: it has ended */
    int fd;                             /* -1: the client is gone */
    struct bytes out;
    struct frame_reader in;

    /* Its part of the memory lane, if there is a base. */
    uint8_t *base;
    struct memory_sizes sizes;
    struct memory_map map;
    struct ring_producer requests;
    struct ring_consumer replies;
    struct arena send;
    int own_bell, daemon_bell;
    struct played_client_held held[PLAYED_CLIENT_HELD];
    unsigned held_count;

    /* As long as it is honest: each request is answered once. */
    bool is_dishonest;
    unsigned requests_made[FRAME_OPCODE_END];
    unsigned replies_come[FRAME_OPCODE_END];
};

/* Takes the descriptor, which does not block. */
void played_client_init(struct played_client *client, int fd, struct input *input, const struct socket_table *sockets);

void played_client_deinit(struct played_client *client);

/* Says it properly, with the wish for shared memory. */
void played_client_say_hello(struct played_client *client);

/* Asks for something small, properly. */
void played_client_say_statistics(struct played_client *client);

/* Any request, well or badly made. */
void played_client_say_request(struct played_client *client);

/* Bytes that need not be a frame. */
void played_client_say_bytes(struct played_client *client);

/* Sends of what was said on the plain lane as much as there is room for. */
void played_client_send(struct played_client *client);

bool played_client_has_sent_all(const struct played_client *client);

/* On the memory lane, something about it: mostly what no client does. On the plain lane nothing. */
void played_client_misuse_memory(struct played_client *client, uint8_t how);

void played_client_take_replies(struct played_client *client);

/* Whatever was requested; to be asked of an honest client. */
bool played_client_is_answered(const struct played_client *client);

/* SHUT_RD, SHUT_WR. */
void played_client_shut_down(struct played_client *client, int how);

void played_client_hang_up(struct played_client *client);

#endif
