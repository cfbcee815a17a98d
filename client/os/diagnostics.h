/*
 * Telling people what went wrong: the text behind oche_last_error(), and the trace that OCHE_LOG=1
 * asks for.
 */
#ifndef OCHE_CLIENT_OS_DIAGNOSTICS_H
#define OCHE_CLIENT_OS_DIAGNOSTICS_H

/* Tells on stderr, if OCHE_LOG=1, else nothing. One line, without the newline. */
void diagnostics_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sets the last error of this thread, and says it. `error` is an errno whose text is appended, or
 * 0. */
void diagnostics_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes what was the last error of another thread that of this one. */
void diagnostics_recall(const char *text);

void diagnostics_clear(void);

/* The last error of this thread, or "". */
const char *diagnostics_last(void);

#endif
