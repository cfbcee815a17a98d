/*
 * A listening TCP socket of a session, and the ACCEPT requests that wait on it.
 *
 * A connection is taken from the kernel only when a request waits for it, a descriptor is left in the process and a
 * handle in the session. A listener that lacks one of the latter is starved: it stays in the worker's list, without a
 * system call, until something is closed.
 */
#ifndef OCHE_DAEMON_LISTENER_H
#define OCHE_DAEMON_LISTENER_H

#include "daemon/address.h"
#include "daemon/engine.h"
#include "daemon/list.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

struct listener {
    struct session *session;
    struct engine_socket *socket;
    struct list starved_node; /* in worker->starved */
    int64_t handle;
    bool accepting; /* the engine waits for a connection, and a descriptor is taken for it */
    bool closed;    /* freed at the end of the turn */

    int64_t *accepts; /* a ring of request ids */
    uint32_t accepts_size;
    uint32_t accepts_first;
    uint32_t accepts_count;
};

struct listener_target {
    struct address local;
    bool v6_only;
    bool shared;
    uint32_t backlog; /* 0: as many as the system allows */
};

/* Listens, and answers the request. 0, or a negative code with *os_error, and nothing is answered. */
int listener_listen(struct session *session, int64_t request_id, const struct listener_target *target, int *os_error);

/* Listens on with a descriptor and a handle from before. Takes over `fd`. False: a limit, the policy or memory is in
 * the way, and the descriptor stays the caller's. */
bool listener_restore(struct session *session, int64_t handle, int fd);

/* 0, or a negative code, and nothing is answered. */
int listener_accept(struct listener *listener, int64_t request_id);

/* For the worker: what the listener lacked may be there. */
void listener_retry(struct listener *listener);

/* Pending accepts end with CLOSED. The object lives to the end of the turn. */
void listener_close(struct listener *listener);

/* Like listener_close(), but the session is ending: nothing is answered. */
void listener_abandon(struct listener *listener);

#endif
