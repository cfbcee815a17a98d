/*
 * Who is at the other end of a Unix-domain socket.
 */
#ifndef OCHE_DAEMON_SESSION_CREDENTIALS_H
#define OCHE_DAEMON_SESSION_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { CREDENTIALS_PID_SIZE = 12 };

/* Why the process that connected `fd` may not come in, or NULL. *peer is who it is, as far as that is known. */
const char *credentials_objection(int fd, struct ucred *peer);

/* For the log: the number of the process, or "?" for one of a PID namespace that is not the daemon's or below it. */
void credentials_write_pid(pid_t pid, char text[CREDENTIALS_PID_SIZE]);

/* The network namespace of this thread, or, of an accepted Unix-domain socket, that of the process that connected:
 * unix_stream_connect() in the kernel makes the accepted end in the namespace of the connecting socket. A number that
 * is never used again while the system runs; 0 if the kernel does not tell (before Linux 5.14). */
uint64_t credentials_network(void);
uint64_t credentials_network_of(int fd);

#endif
