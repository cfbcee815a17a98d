/*
 * The sockets of which a readiness backend wants to know that their connections break, when nothing is received on them
 * any more.
 */
#ifndef OCHE_DAEMON_ENGINE_BREAK_SET_H
#define OCHE_DAEMON_ENGINE_BREAK_SET_H

struct engine_socket;

/* Returns a descriptor that is readable when a connection of the set has broken, or -errno. */
int break_set_open(void);

/* The descriptor was readable: reports those sockets (socket_progress.h). */
void break_set_report(int set);

/* The socket is reported once; closing its descriptor takes it out of the set. Without memory for it, the next send is
 * who learns of a reset. */
void break_set_add(int set, struct engine_socket *socket);

#endif
