/*
 * Where a daemon and its clients meet: the one rule for the path of the daemon's socket, which both sides follow.
 *
 * The path is what the caller wants, else $OCHE_SOCKET, else oche/oched.sock in $XDG_RUNTIME_DIR, else
 * /tmp/oche-UID/oched.sock.
 *
 * A runtime directory counts only if it belongs to the effective user. Under sudo(8) and su(1) root may still have the
 * variable of the user who called it: a directory that root made there would lock that user out.
 *
 * In a network namespace other than the system's first one, the name of the default is oched-N.sock, where N is the
 * number of the namespace, as lsns(8) shows it. A daemon has the network of the namespace that it was started in, and
 * refuses clients from others (daemon/session/credentials.h); so each namespace gets a daemon of its own, and none is a
 * way out of another. In the first namespace, which is that of ordinary programs, the name is plain.
 */
#ifndef OCHE_COMMON_SOCKET_PATH_H
#define OCHE_COMMON_SOCKET_PATH_H

/* The absolute path of the socket, which the caller frees. `wanted` may be NULL or empty, and a relative path counts
 * from the current directory. `environment` is getenv(), or secure_getenv() where the environment may be that of an
 * unprivileged caller. NULL: out of memory, or errno says why a relative path has no meaning. */
char *socket_path(const char *wanted, char *(*environment)(const char *name));

#endif
