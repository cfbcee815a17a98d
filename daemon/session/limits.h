/*
 * What the daemon grants. Defaults are in daemon/process/options.c; every client-caused cost is charged against one of
 * these.
 */
#ifndef OCHE_DAEMON_SESSION_LIMITS_H
#define OCHE_DAEMON_SESSION_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct limits {
    uint32_t sessions;    /* per user: open at once */
    uint32_t handles;     /* per session: sockets open at once, listeners included */
    size_t queued_bytes;  /* per session: writes that were accepted and not answered yet */
    uint32_t arena_bytes; /* per session and direction: shared memory for payloads; 0: no memory lane */

    /* All sessions of a user together; daemon/session/account.h says what counts. */
    struct {
        uint32_t handles;
        int64_t queued_bytes;
        int64_t arena_bytes; /* per direction */
        uint32_t requests;
        uint32_t session_rate;    /* a second; 0: no limit */
        uint32_t connection_rate; /* a second; 0: no limit */
    } user;
};

enum {
    ACCEPTS_PER_LISTENER = 65536, /* requests that may wait; each costs some 80 bytes */
    REFUSED_AT_ONCE = 16,         /* sessions that wait for their HELLO only to be refused; one more is hung up on */
    HELLO_TIMEOUT_MS = 5000,      /* for a client that connects and says nothing */
    LINGER_MS = 60 * 1000,        /* for the peers of a client that is gone to take what it wrote before */
};

#endif
