/*
 * The requests that the daemon has not answered yet.
 *
 * A slot per request. The id on the wire names slot and generation, so that an answer finds its request in one step and
 * an answer that was given before, or never asked for, finds nothing. The ids of the application, which may repeat,
 * stay here.
 *
 * A read that waits for data has a slot too, though the daemon does not know of it: see reading.h.
 */
#ifndef OCHE_CLIENT_SESSION_PENDING_H
#define OCHE_CLIENT_SESSION_PENDING_H

#include "proto/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oche_statistics;
struct waiter;

struct pending_request {
    int64_t request_id; /* the application's */
    int64_t handle;     /* public; 0 if the request has none */
    int64_t wire;       /* the same at the daemon. 0: none; ACCEPT: it waits until the listener is open there */
    int64_t argument;   /* WRITE: count; SET_OPTION: the value; GET_OPTION: room for it; TLS_INFO: the item */
    uint64_t charge;    /* WRITE, CLOSE_WRITE: bytes counted against the limit until the answer */
    uint64_t serial;    /* requests in the order in which they were made */
    uint8_t *body;      /* CONNECT, LISTEN: the frame's, on the heap, for another daemon if this one hands over */
    union {
        struct oche_statistics *statistics; /* STATISTICS: where the numbers go */
        struct waiter *waiter; /* SET_OPTION, GET_OPTION, TLS_INFO: who waits, NULL if a completion is wanted */
    };
    uint8_t *value;   /* GET_OPTION, TLS_INFO: where the value goes; NULL: nowhere any more */
    size_t room;      /* TLS_INFO: for that */
    int64_t limit_at; /* when it times out, as deadline_now(); 0: never, or it has */
    uint32_t generation;
    uint32_t next_free;
    uint16_t opcode; /* 0: the slot is free */
    uint16_t body_length;
    uint8_t option; /* SET_OPTION: an Oche__Option__Name, UNKNOWN if it has no getter */
    bool no_ack;    /* WRITE: only a failure is worth a completion */
    /* Nobody is told what the request comes to: it is one of the library's own; or a SET_OPTION or GET_OPTION whose
     * caller has stopped waiting; or it has completed because its limit was over, and the daemon still has to answer.
     */
    bool no_completion;
    bool cancelled;       /* by the application. The daemon may not know it yet */
    bool owed;            /* the daemon owes an answer: counted in pending->owed */
    bool listener_closed; /* ACCEPT: by force, since the request was made; so is the connection that it accepts */
    bool listener_lost;   /* ACCEPT, LISTENER_CLOSE: the daemon has handed over, and the successor lacks the listener */
    bool is_bound;        /* CONNECT, LISTEN: it names what no other daemon has, a TLS context */
    bool durable;         /* LISTEN: it makes a durable listener */
    bool reopens;         /* LISTEN: it opens a durable listener again */
    uint32_t reads;       /* CLOSE, ABORT, LISTENER_CLOSE: the first of the pending reads that end with it; READ: the
                             next one of these. As pending_number() */
};

/* All zero is an empty table. */
struct pending {
    struct pending_request *requests;
    uint32_t capacity;
    uint32_t count;      /* in use */
    uint32_t owed;       /* of these: see pending_is_owed() and pending_owe() */
    uint32_t first_free; /* index + 1; 0: none */
    uint32_t newest;     /* the last one that was added, as pending_number(), pending or not; 0: none was */
    uint64_t made;       /* ever */
};

/* Drops all requests without an answer. */
void pending_deinit(struct pending *pending);

/* Whether the daemon owes an answer to such a request: a READ or an ACCEPT may wait for ever. */
static inline bool pending_is_owed(uint16_t opcode)
{
    return opcode != FRAME_READ && opcode != FRAME_ACCEPT;
}

/* Whether somebody may wait for the answer to such a request, instead of a completion. */
static inline bool pending_may_be_awaited(uint16_t opcode)
{
    return opcode == FRAME_SET_OPTION || opcode == FRAME_GET_OPTION || opcode == FRAME_TLS_INFO;
}

/* A new request, all zero but for its opcode and generation. Valid until the next pending_add().
 * NULL: no memory. */
struct pending_request *pending_add(struct pending *pending, uint16_t opcode);

/* The daemon owes an answer to this request from now on, also if its kind may wait for ever: it was cancelled. */
void pending_owe(struct pending *pending, struct pending_request *request);

void pending_remove(struct pending *pending, struct pending_request *request);

/* Copies the body of its frame. False: no memory. */
bool pending_keep_body(struct pending_request *request, const uint8_t *body, size_t length);

/* Lets go of that. */
void pending_drop_body(struct pending_request *request);

int64_t pending_wire_id(const struct pending *pending, const struct pending_request *request);

/* A number for the request that is not 0, as long as it is pending. */
uint32_t pending_number(const struct pending *pending, const struct pending_request *request);

/* The request with that number, which is pending. */
struct pending_request *pending_numbered(const struct pending *pending, uint32_t number);

/* NULL: no such request is pending. */
struct pending_request *pending_find(const struct pending *pending, int64_t wire_id);

/* The request that was made last, if it is still pending, or NULL. */
struct pending_request *pending_newest(const struct pending *pending);

/* The first request in use after `request`, NULL: the very first. NULL at the end. */
struct pending_request *pending_next(const struct pending *pending, const struct pending_request *request);

#endif
