/*
 * Who is at the other end of a Unix-domain socket.
 */
#ifndef OCHE_DAEMON_CREDENTIALS_H
#define OCHE_DAEMON_CREDENTIALS_H

#include <sys/socket.h>

/* Why the process that connected `fd` may not come in, or NULL. *peer is who it is, as far as that is known. */
const char *credentials_objection(int fd, struct ucred *peer);

#endif
