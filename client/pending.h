/*
 * The requests that the daemon has not answered yet.
 *
 * A slot per request. The id on the wire names slot and generation, so that an answer finds its
 * request in one step and an answer that was given before, or never asked for, finds nothing. The
 * ids of the application, which may repeat, stay here.
 */
#ifndef OCHE_CLIENT_PENDING_H
#define OCHE_CLIENT_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oche_statistics;
struct waiter;

struct pending_request {
    int64_t request_id; /* the application's */
    int64_t handle;     /* public; 0 if the request has none */
    int64_t argument;   /* WRITE: count; SET_OPTION: the value */
    uint64_t charge;    /* bytes counted against the limit until the answer */
    union {
        struct oche_statistics *statistics; /* STATISTICS: where the numbers go */
        struct waiter *waiter;              /* SET_OPTION: who waits, NULL if a completion is wanted */
    };
    uint32_t generation;
    uint32_t next_free;
    uint16_t opcode; /* 0: the slot is free */
    uint8_t option;  /* SET_OPTION: an Oche__Option__Name */
    bool doomed;     /* ACCEPT: the listener was closed by force since, and with it what this accepts */
    bool unheard;    /* SET_OPTION: who waited for it has given up */
};

/* All zero is an empty table. */
struct pending {
    struct pending_request *requests;
    uint32_t capacity;
    uint32_t count;      /* in use */
    uint32_t first_free; /* index + 1; 0: none */
};

/* Drops all requests without an answer. */
void pending_deinit(struct pending *pending);

/* A new request, all zero but for its opcode and generation. Valid until the next pending_add().
 * NULL: no memory. */
struct pending_request *pending_add(struct pending *pending, uint16_t opcode);

void pending_remove(struct pending *pending, struct pending_request *request);

int64_t pending_wire_id(const struct pending *pending, const struct pending_request *request);

/* NULL: no such request is pending. */
struct pending_request *pending_find(const struct pending *pending, int64_t wire_id);

/* The first request in use after `request`, NULL: the very first. NULL at the end. */
struct pending_request *pending_next(const struct pending *pending, const struct pending_request *request);

#endif
