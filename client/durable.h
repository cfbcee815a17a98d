/*
 * Durable listeners: those that outlive their daemon.
 *
 * When the daemon of a session is lost its durable listeners stay, and so do the requests to accept from them. The
 * first thing that the session asks of the next daemon is to listen again, with the options and at the port that they
 * had; the accepts are sent when that is answered. If a listener cannot be opened again, what waits on it ends with the
 * reason.
 *
 * So the handle of a durable listener cannot be the daemon's: it is made here, of a number that counts up. Its part on
 * the wire has the generation 0, which no handle of a daemon has. It is valid as long as the listener, and does not
 * change with the tag of the session.
 *
 * The mutex of the session is held for all of these functions.
 */
#ifndef OCHE_CLIENT_DURABLE_H
#define OCHE_CLIENT_DURABLE_H

#include "client/handles.h"

struct oche_session;
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

/* A LISTEN has succeeded that is to make a durable listener. NULL: no memory. */
struct durable_listener *durable_add(struct oche_session *session, const struct pending_request *listen, int64_t wire,
                                     const struct endpoints *endpoints);

/* Frees it. What is pending on it is the caller's business. */
void durable_remove(struct durable *durable, struct durable_listener *listener);

/* The listener with that handle cannot be opened again: what is pending on it ends with the code and errno, and it is
 * no more. It may have been closed meanwhile. */
void durable_fail(struct oche_session *session, int64_t handle, int64_t code, int os_error);

/* Closes one that is not open at the daemon, or not yet: the request completes at once, and when the listener has been
 * opened it is closed there, too. 0 or OCHE_ERR_OUT_OF_MEMORY. */
int64_t durable_close_here(struct oche_session *session, int64_t request_id, const struct durable_listener *listener);

/* Of a session whose lane is detached: ends with `code` what ends, and queues the rest for the next daemon. False:
 * there is nothing durable, or no memory, and the session has to be lost. */
bool durable_prepare(struct oche_session *session, int64_t code);

/* The LISTEN that opens the listener again has succeeded: sends what waits for it. False: no memory. */
bool durable_reopened(struct oche_session *session, int64_t handle, int64_t wire);

#endif
