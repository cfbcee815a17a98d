/*
 * The operations that make sockets: what the client asks for is decoded, and judged by the policy.
 */
#ifndef OCHE_DAEMON_OPERATIONS_OPENING_H
#define OCHE_DAEMON_OPERATIONS_OPENING_H

struct call;

/* Handlers; see daemon/operations/call.h. */
int opening_connect(struct call *call);
int opening_listen(struct call *call);
int opening_datagram(struct call *call);

#endif
