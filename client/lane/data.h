/*
 * The bytes of a read, on their way to the application, which holds on to them for as long as it likes; or the
 * endpoints of a new socket.
 *
 * They lie in memory of their own, or in the receive arena of a session's shared memory, which stays mapped for them.
 * lane_give_back() is the end of those that came from a daemon which is still there; data_free() says nothing to
 * anybody.
 */
#ifndef OCHE_CLIENT_LANE_DATA_H
#define OCHE_CLIENT_LANE_DATA_H

#include <stdbool.h>
#include <stdint.h>

struct region;

struct data {
    struct data *next;     /* in whatever queue it is */
    struct region *region; /* where the bytes lie, with a reference; NULL: in memory of their own */
    uint8_t *bytes;
    uint32_t length;
    uint32_t offset; /* in the receive arena, if they lie there */
    bool endpoints;  /* these are the endpoints of a new socket */
    bool datagram;   /* they begin with where they come from */
};

/* NULL: no memory. */
struct data *data_new_copy(const uint8_t *bytes, uint32_t length);

/* Takes over bytes from malloc(). NULL: no memory, and they are still the caller's. */
struct data *data_new_adopting(uint8_t *bytes, uint32_t length);

/* With room for bytes that the caller fills in. NULL: no memory. */
struct data *data_new_empty(uint32_t length);

/* For bytes at `offset` of the receive arena, which is mapped at `bytes`, or not at all. NULL: no memory. */
struct data *data_new_in_region(struct region *region, uint8_t *bytes, uint32_t offset, uint32_t length);

/* NULL is fine. */
void data_free(struct data *data);

/* All zero is an empty queue. */
struct data_queue {
    struct data *first;
    struct data *last;
};

void data_queue_push(struct data_queue *queue, struct data *data);

/* It becomes the oldest. */
void data_queue_push_back(struct data_queue *queue, struct data *data);

/* The oldest, or NULL. */
struct data *data_queue_pop(struct data_queue *queue);

/* Frees what is in it. */
void data_queue_deinit(struct data_queue *queue);

#endif
