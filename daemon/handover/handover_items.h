/*
 * The listeners that one daemon leaves to the next, each with the token of the session that it belongs to.
 *
 * The old daemon's workers put theirs in; the new daemon's sessions take theirs out, by token, which only the client
 * knows that the session served. From any thread.
 */
#ifndef OCHE_DAEMON_HANDOVER_HANDOVER_ITEMS_H
#define OCHE_DAEMON_HANDOVER_HANDOVER_ITEMS_H

#include "proto/handover.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct handover_item {
    uint8_t token[HANDOVER_TOKEN_SIZE];
    int64_t handle;
    int fd;
};

struct handover_items {
    pthread_mutex_t lock;
    struct handover_item *items;
    uint32_t count;
    uint32_t size;
    atomic_int failed; /* the errno that kept a listener out; 0: all are in */
};

void handover_items_init(struct handover_items *all);

/* Closes what is left. */
void handover_items_deinit(struct handover_items *all);

/* Takes over `fd`. 0 or -ENOMEM; then the descriptor stays the caller's. */
int handover_items_add(struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE], int64_t handle, int fd);

/* Takes out all that go with the token. How many these are; *items, which is to be freed, and the descriptors are now
 * the caller's. 0: there are none, or none any more, or no memory, which closes them; then *items is NULL. */
uint32_t handover_items_claim(struct handover_items *all, const uint8_t token[HANDOVER_TOKEN_SIZE],
                              struct handover_item **items);

/* Closes what nobody has claimed, and returns how many these were. */
uint32_t handover_items_close(struct handover_items *all);

#endif
