/*
 * Where the daemon listens, and where its program is.
 */
#ifndef OCHE_CLIENT_CONNECT_PATHS_H
#define OCHE_CLIENT_CONNECT_PATHS_H

/* The absolute path of the daemon's socket: `wanted`, else as common/socket_path.h says. The caller frees it. NULL: no
 * memory, or errno says why a relative path has no meaning. */
char *paths_socket(const char *wanted);

/* The absolute path of a program to start: `wanted`, else $OCHE_DAEMON, else `oched` beside this
 * library, else `oched` from PATH. The caller frees it. NULL and errno: ENOENT if there is none. */
char *paths_daemon(const char *wanted);

#endif
