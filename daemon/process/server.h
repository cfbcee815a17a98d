/*
 * The server: lets clients in, spreads them over workers, and leads the way out.
 *
 * Leaving has two steps. Asked once (SIGTERM, SIGINT, idle for long enough) it removes the socket, so that a successor
 * can start, and lets the workers finish what was asked of them, for a bounded time. Asked twice, or when that time is
 * over, it ends what is left.
 *
 * A successor that has asked gets everything by way of daemon/process/handover_give.h; then the server leaves as above.
 */
#ifndef OCHE_DAEMON_PROCESS_SERVER_H
#define OCHE_DAEMON_PROCESS_SERVER_H

#include "daemon/process/options.h"
#include "daemon/process/rendezvous.h"
#include "daemon/process/respawner.h"
#include "daemon/tls/tls_roots.h"

struct server;

/* What a server is made of. All of it stays the caller's, and longer than the server. */
struct server_parts {
    const struct options *options;
    enum engine_method method;        /* the one of the options, or what there is instead */
    struct rendezvous *rendezvous;    /* open; the server closes it when it leaves */
    struct handover_items *inherited; /* what sessions may claim */
    struct respawner respawner;       /* the server takes its bell */
    struct tls_roots tls_roots;       /* the server frees them */
};

/* NULL: could not, and standard error says why. */
struct server *server_new(struct server_parts *parts);

/* Serves until it is time to leave. 0 or -errno. */
int server_run(struct server *server);

/* After server_run(), or instead of it. NULL is fine. */
void server_free(struct server *server);

#endif
