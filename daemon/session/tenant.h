/*
 * A tenant: a client process, as far as it shares a worker's time. All of its sessions in the worker have one slice of
 * the time together, so that more sessions bring a process no more of it.
 */
#ifndef OCHE_DAEMON_SESSION_TENANT_H
#define OCHE_DAEMON_SESSION_TENANT_H

#include "daemon/engine/engine.h"
#include "daemon/engine/list.h"

#include <sys/types.h>

struct tenant {
    struct list node;
    pid_t pid;
    unsigned sessions;
    struct time_slice slice;
};

/* Takes a place for a session of that process in the list `tenants` of a worker. NULL: out of memory. */
struct tenant *tenant_enter(struct list *tenants, struct engine *engine, pid_t pid);

/* When all that belongs to the session is closed. The tenant is freed with its last session. */
void tenant_leave(struct tenant *tenant);

#endif
