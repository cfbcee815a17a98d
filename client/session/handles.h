/*
 * What the client knows of the sockets that the daemon keeps for a session: enough to refuse a wrong handle, to answer
 * the getters at once, and to read what has come.
 *
 * Found by slot, in pages that are made when a slot of theirs is first used: nothing moves, and a daemon that writes
 * nonsense can make the client allocate one page per message, no more.
 */
#ifndef OCHE_CLIENT_SESSION_HANDLES_H
#define OCHE_CLIENT_SESSION_HANDLES_H

#include "client/session/reading.h"
#include "proto/endpoints.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum handle_kind { HANDLE_NONE, HANDLE_CONNECTION, HANDLE_LISTENER, HANDLE_DATAGRAM, HANDLE_TLS_CONTEXT };

struct handle_entry {
    int64_t listener; /* the wire handle of the listener that accepted it; 0: none */
    uint32_t generation;
    enum handle_kind kind;
    struct endpoints endpoints;
    struct reading reading;
    bool is_bound;      /* a listener that no other daemon can have, for its TLS context is here */
    bool is_securing;   /* TLS is being put on it: nothing is read or written until that is done */
    bool asks;          /* and it is for the application to say whether it goes on */
    uint32_t unclaimed; /* of a listener: connections that are */
    bool is_unclaimed;  /* a connection, which came for an accept whose limit was over: the next accept gets it */
    bool has_written;   /* and has not been told since that the connection broke */
    int64_t last_write; /* the id under which it is told, 0 or less */
};

struct handles_page;

/* All zero is an empty table. Handles in this module are those of the wire. */
struct handles {
    struct handles_page **pages;
    size_t page_count;
    uint32_t newest_generation; /* of all handles so far */
};

/* Frees what is ahead in them, too, without a word to the daemon. */
void handles_deinit(struct handles *handles);

/* What is known of a live handle, valid until it is removed; NULL if there is no such handle. */
struct handle_entry *handles_find(const struct handles *handles, int64_t handle);

/* True if some live handle has the slot of `handle`. */
bool handles_slot_is_taken(const struct handles *handles, int64_t handle);

/* A new live handle, whose slot must be free: all zero but for its generation and kind. NULL: no
 * memory. */
struct handle_entry *handles_add(struct handles *handles, int64_t handle, enum handle_kind kind);

/* There is a handle that this table does not have. */
void handles_note(struct handles *handles, int64_t handle);

/* Removes a live handle, whose reading the caller has seen to. */
void handles_remove(struct handle_entry *entry);

/* Removes all but listeners that another daemon may have, with what is ahead in them, and says whether there are such
 * listeners. */
bool handles_keep_listeners(struct handles *handles);

/* A connection that the listener accepted and that is live, the first at or after *position, which is moved on behind
 * it; 0 is the beginning. NULL: there is none. Looks at every slot: for rare occasions. */
struct handle_entry *handles_next_accepted(const struct handles *handles, int64_t listener, size_t *position);

#endif
