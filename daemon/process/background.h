/*
 * Going to the background: the process that was started stays until the one that serves is ready, or has failed, and
 * leaves with its exit status. So whoever starts oched may connect as soon as it returns 0.
 */
#ifndef OCHE_DAEMON_PROCESS_BACKGROUND_H
#define OCHE_DAEMON_PROCESS_BACKGROUND_H

/* First of all: opens what is closed of the standard streams, so that no file of ours becomes one. */
void background_open_streams(void);

/* Returns in the process that will serve, a session of its own, with standard error still the caller's. The
 * descriptor is for background_ready(). -1: could not, and standard error says why. */
int background_enter(void);

/* Lets the process that was started leave with 0, and lets go of its standard streams and its directory: from now on
 * relative paths are no paths. */
void background_ready(int descriptor);

/* Lets go of the standard streams from `first` on, but for one that the log goes to, and of the directory. */
void background_detach(int first);

#endif
