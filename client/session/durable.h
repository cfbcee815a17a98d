/*
 * Durable listeners: those that outlive their daemon. This is the list of them; what becomes of them when a daemon is
 * lost is in following.h.
 *
 * The handle of a durable listener cannot be the daemon's, for each daemon gives it another. It is made here, of a
 * number that counts up. Its part on the wire has the generation 0, which no handle of a daemon has. It is valid as
 * long as the listener, and does not change with the tag of the session.
 *
 * The mutex of the session is held for all of these functions.
 */
#ifndef OCHE_CLIENT_SESSION_DURABLE_H
#define OCHE_CLIENT_SESSION_DURABLE_H

#include "client/session/handles.h"

struct pending_request;

struct durable_listener {
    struct durable_listener *next;
    int64_t handle; /* public */
    int64_t wire;   /* its handle at the daemon; 0: not open there yet */
    struct handle_entry entry;
    uint16_t body_length;
    uint8_t body[]; /* of the LISTEN that opens it again */
};

/* All zero is none. */
struct durable {
    struct durable_listener *first;
    uint32_t last_number;
};

/* Frees all. */
void durable_deinit(struct durable *durable);

/* NULL: no such listener. */
struct durable_listener *durable_find(const struct durable *durable, int64_t handle);

/* By its handle at the daemon, which is not 0. */
struct durable_listener *durable_at(const struct durable *durable, int64_t wire);

/* Whether there is one that is open at the daemon. */
bool durable_is_open(const struct durable *durable);

/* A LISTEN has succeeded that is to make a durable listener of the session with this tag. NULL: no memory. */
struct durable_listener *durable_add(struct durable *durable, int64_t tag, const struct pending_request *listen,
                                     int64_t wire, const struct endpoints *endpoints);

/* Frees it. What is pending on it is the caller's business. */
void durable_remove(struct durable *durable, struct durable_listener *listener);

#endif
