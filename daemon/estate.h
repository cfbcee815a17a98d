/*
 * The listeners that one daemon leaves to the next, each with the token of the session that it belongs to.
 *
 * The old daemon's workers put theirs in; the new daemon's sessions take theirs out, by token, which only the client
 * knows that the session served. From any thread.
 */
#ifndef OCHE_DAEMON_ESTATE_H
#define OCHE_DAEMON_ESTATE_H

#include "proto/handover.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct estate_item {
    uint8_t token[HANDOVER_TOKEN_SIZE];
    int64_t handle;
    int fd;
};

struct estate {
    pthread_mutex_t lock;
    struct estate_item *items;
    uint32_t count;
    uint32_t size;
    atomic_int failed; /* the errno that kept a listener out; 0: all are in */
};

void estate_init(struct estate *estate);

/* Closes what is left. */
void estate_deinit(struct estate *estate);

/* Takes over `fd`. 0 or -ENOMEM; then the descriptor stays the caller's. */
int estate_add(struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE], int64_t handle, int fd);

/* Takes out all that go with the token. How many these are; *items, which is to be freed, and the descriptors are now
 * the caller's. 0: there are none, or none any more, or no memory, which closes them; then *items is NULL. */
uint32_t estate_claim(struct estate *estate, const uint8_t token[HANDOVER_TOKEN_SIZE], struct estate_item **items);

/* Closes what nobody has claimed, and returns how many these were. */
uint32_t estate_close(struct estate *estate);

#endif
