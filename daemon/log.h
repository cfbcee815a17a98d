/*
 * The log: one line per event, `time level key=value …`, to standard error or to a file. Any thread.
 *
 * A line is written with one write(2), so lines of several threads and processes never mix. A line that cannot be
 * written (a full disk) is dropped and counted, and the count is told when writing works again.
 */
#ifndef OCHE_DAEMON_LOG_H
#define OCHE_DAEMON_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);

/* Sends the log to `path` (appending, created with mode 0600) from now on. 0 or -errno; on failure the log stays
 * where it was. */
int log_open_file(const char *path);

/* Where lines go now. */
int log_descriptor(void);

/* The file of log_open_file(); NULL: there is none. Static storage. */
const char *log_path(void);

/* Closes that file until log_reopen_file(): for a process that logs seldom, and must not hold on to one that is rotated
 * meanwhile. Lines go to standard error. */
void log_release_file(void);

/* Opens the file of log_open_file() anew: for log rotation. Nothing happens when the log goes to standard error. */
void log_reopen_file(void);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* For failures that a client or a peer can cause as often as it likes: past 50 lines in a second, lines are left out,
 * and the next second says how many. */
__attribute__((format(printf, 2, 3))) void log_failure(enum log_level level, const char *format, ...);

/* strerror() that is safe with threads. Static storage. */
const char *log_errno_text(int error);

#endif
