/*
 * The socket options that clients may read and set by the system's numbers: those that concern nobody but the
 * connection itself. What the others would change (where a socket is bound, how it is shared, what its close does) is
 * the daemon's.
 */
#ifndef OCHE_DAEMON_SOCKET_SOCKET_OPTION_H
#define OCHE_DAEMON_SOCKET_SOCKET_OPTION_H

#include <sys/socket.h>

struct engine_socket;

enum { SOCKET_OPTION_SIZE_MAX = 64 /* bytes of a value that is read; all those of the list have four or eight */ };

/* As setsockopt(2) and getsockopt(2): 0, or a negative errno. -ENOPROTOOPT: the option is not on the list. -EOPNOTSUPP:
 * it can only be read. */
int socket_option_set(const struct engine_socket *socket, int level, int name, const void *value, socklen_t size);
int socket_option_get(const struct engine_socket *socket, int level, int name, void *value, socklen_t *size);

#endif
