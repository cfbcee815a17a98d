/*
 * Whom the daemon runs as. Started as root, it can become another user, who then is the one whom it serves.
 */
#ifndef OCHE_DAEMON_PROCESS_USER_H
#define OCHE_DAEMON_PROCESS_USER_H

/* Becomes the user of that name or number, with the user's group and no others, for good; the capability to bind ports
 * below 1024 stays where it was there. What belonged to the caller's session ($XDG_RUNTIME_DIR) is forgotten. Before
 * there are threads. 0, or -1 with the reason on standard error. */
int user_become(const char *user);

#endif
