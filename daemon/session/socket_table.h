/*
 * The sockets of one session, by handle.
 *
 * A slot that is given up goes to the end of the queue of free slots and gets its next generation, so that a handle
 * whose socket is gone is refused for as long as possible: a million reuses of the same slot.
 */
#ifndef OCHE_DAEMON_SESSION_SOCKET_TABLE_H
#define OCHE_DAEMON_SESSION_SOCKET_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct socket;

struct socket_slot {
    struct socket *socket; /* NULL: free */
    uint32_t generation;
    uint32_t next; /* the next free slot while free */
};

struct socket_table {
    struct socket_slot *slots;
    uint32_t size;  /* slots there are */
    uint32_t limit; /* slots there may be */
    uint32_t used;
    uint32_t first_free; /* `size` means: none */
    uint32_t last_free;
    uint32_t generation; /* of slots that were never used */
};

void socket_table_init(struct socket_table *table, uint32_t limit);

/* Handles that are made from now on are newer than those of this generation. The table must be empty and unused. */
void socket_table_begin_after(struct socket_table *table, uint32_t generation);

/* The table must be empty. */
void socket_table_deinit(struct socket_table *table);

/* The new handle, positive. 0: the table is at its limit. -ENOMEM. */
int64_t socket_table_add(struct socket_table *table, struct socket *socket);

/* Adds the socket with a handle that it had before. 0; -ENOMEM; or -EEXIST: its slot is taken, or beyond the limit. */
int socket_table_restore(struct socket_table *table, int64_t handle, struct socket *socket);

/* The socket, or NULL. */
struct socket *socket_table_find(const struct socket_table *table, int64_t handle);

/* The handle must be in the table. */
void socket_table_remove(struct socket_table *table, int64_t handle);

/* For walking over all sockets, some of which may be removed meanwhile: the first one in a slot that is not below
 * *index, which is moved behind it; NULL at the end. */
struct socket *socket_table_next(const struct socket_table *table, uint32_t *index);

#endif
