/*
 * What a session finds around it: the loop that it lives in, what the whole daemon shares, and whom to tell when it is
 * gone. A worker is a host with a thread.
 */
#ifndef OCHE_DAEMON_SESSION_SESSION_HOST_H
#define OCHE_DAEMON_SESSION_SESSION_HOST_H

#include "daemon/engine/engine.h"
#include "daemon/engine/list.h"
#include "daemon/session/starvation.h"
#include "daemon/tls/tls_library.h"

#include <stdbool.h>

struct account;
struct lane_message;
struct session;
struct daemon_state;

/* How far the listeners of a host are on their way to a successor. */
enum handover_phase {
    HANDOVER_NONE,
    HANDOVER_OFFERED, /* they are in an items, and it is open whether a successor takes them */
    HANDOVER_GIVEN,   /* they are the successor's alone */
};

struct session_host {
    struct engine *engine;
    struct daemon_state *daemon;
    struct list sessions;
    struct list tenants;
    struct starvation starvation;
    enum handover_phase phase;
    struct tls_library tls; /* made when it is first wanted: session_host_tls() */

    /* A frame came for a session that has not ended. Takes over the payload; the session may have ended afterwards. */
    void (*handle)(struct session *session, struct lane_message *message);
    /* A session is freed. What the account was charged for the session itself is to be given back. */
    void (*session_gone)(struct session_host *host, struct account *account, bool refused);
};

/* NULL: out of memory. */
const struct tls_library *session_host_tls(struct session_host *host);

#endif
