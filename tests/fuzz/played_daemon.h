/*
 * A daemon that an input plays, at the other end of the client's Unix-domain socket and of the shared memory: it may
 * say anything, and write anywhere.
 */
#ifndef OCHE_TESTS_FUZZ_PLAYED_DAEMON_H
#define OCHE_TESTS_FUZZ_PLAYED_DAEMON_H

#include "client/lane/lane.h"
#include "proto/arena.h"
#include "proto/frame_reader.h"
#include "proto/memory.h"
#include "proto/ring.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/played_application.h"

enum { PLAYED_DAEMON_SEEN = 32 };

/* What it knows of a request. */
struct played_daemon_seen {
    struct frame frame;
    int64_t total; /* bytes of a write, of all its parts */
};

struct played_daemon {
    struct input *input;
    const struct played_application *application; /* whose handles it speaks of */
    int fd;                                       /* -1: it is gone */
    struct frame_reader in;
    struct played_daemon_seen seen[PLAYED_DAEMON_SEEN]; /* the last ones */
    unsigned seen_count;
    int64_t long_total;
    struct frame releases[PLAYED_DAEMON_SEEN]; /* what is in the send arena */
    unsigned release_count;

    /* Its part of the memory lane, if there is a base. */
    uint8_t *base;
    struct memory_map map;
    struct ring_consumer requests;
    struct ring_producer replies;
    struct arena receive;
    int client_bell, daemon_bell;
};

/* Takes the descriptor. */
void played_daemon_init(struct played_daemon *daemon, int fd, struct input *input,
                        const struct played_application *application);

/* May be called again. */
void played_daemon_deinit(struct played_daemon *daemon);

/* Goes over to shared memory, and makes the client's part, but for what its region has of the session. */
void played_daemon_make_memory(struct played_daemon *daemon, struct lane_memory *memory);

/* Takes what requests there are. */
void played_daemon_see_requests(struct played_daemon *daemon);

/* Answers a request that it has seen, well or badly. */
void played_daemon_reply(struct played_daemon *daemon, uint8_t how);

/* Data of a connection, or its end. */
void played_daemon_bring(struct played_daemon *daemon, uint8_t how);

/* Bytes that need not be a frame. */
void played_daemon_say_bytes(struct played_daemon *daemon);

/* On the memory lane, something about it: mostly what no daemon does. On the plain lane nothing. */
void played_daemon_misuse_memory(struct played_daemon *daemon, uint8_t how);

void played_daemon_hang_up(struct played_daemon *daemon);

#endif
