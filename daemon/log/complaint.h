/*
 * Why the daemon cannot start, for whoever starts it: a line on standard error.
 */
#ifndef OCHE_DAEMON_LOG_COMPLAINT_H
#define OCHE_DAEMON_LOG_COMPLAINT_H

/* Prints "oched: ", the text and a newline. Returns -1, for the caller to return. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);

#endif
