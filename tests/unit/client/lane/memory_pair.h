/*
 * Both ends of a memory lane in one process: the client's real one, and a daemon that does what a test tells it.
 *
 * In C, because shared memory is: tests see no atomics.
 */
#ifndef OCHE_TESTS_UNIT_CLIENT_LANE_MEMORY_PAIR_H
#define OCHE_TESTS_UNIT_CLIENT_LANE_MEMORY_PAIR_H

#include "client/lane/lane_message.h"
#include "proto/memory.h"

#include <stdbool.h>
#include <stddef.h>

struct memory_pair;

/* NULL: something is not to be had. */
struct memory_pair *memory_pair_new(const struct memory_sizes *sizes);
void memory_pair_free(struct memory_pair *pair);

/* The client. */
bool memory_pair_request(struct memory_pair *pair, const struct frame *frame, const void *payload, size_t count);
int memory_pair_next(struct memory_pair *pair, struct lane_message *message, const char **fault);
void memory_pair_done(struct memory_pair *pair);
void memory_pair_give_back(struct memory_pair *pair, struct data *data);
void memory_pair_flush(struct memory_pair *pair);
bool memory_pair_sleep(struct memory_pair *pair);
size_t memory_pair_waiting(const struct memory_pair *pair); /* bytes that found no room in the ring */
bool memory_pair_has_rung(struct memory_pair *pair);        /* the client's bell was rung since the last call */

/* Detaches the client from the daemon, as when it is lost. */
void memory_pair_detach(struct memory_pair *pair);

/* The daemon. True: a request came; its payload, at most 64 KiB, is in `payload`, wherever it lay. */
bool memory_pair_take(struct memory_pair *pair, struct frame *frame, uint8_t *payload);
bool memory_pair_take_and_keep_room(struct memory_pair *pair, struct frame *frame, uint8_t *payload);

/* Sends a record as it is. False: no room. */
bool memory_pair_put_record(struct memory_pair *pair, const void *record, size_t size);

/* Sends a frame, with its payload in the ring. */
bool memory_pair_reply(struct memory_pair *pair, const struct frame *frame, const void *payload);

/* Sends data of a connection through the receive arena. False: it is full. */
bool memory_pair_send_data(struct memory_pair *pair, int64_t handle, const void *data, uint32_t size);

/* The daemon's part of a RELEASE that came. False: it is wrong. */
bool memory_pair_released(struct memory_pair *pair, const struct frame *frame);

/* From now on the system maps no more of the memory. False: it does not know such a seal. */
bool memory_pair_end_mapping(struct memory_pair *pair);

/* Bytes of the memory that exist: that were touched, or made ready to be. */
size_t memory_pair_pages(const struct memory_pair *pair);

/* The whole of the memory, to scribble over. */
uint8_t *memory_pair_bytes(struct memory_pair *pair, size_t *size);

#endif
