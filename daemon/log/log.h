/*
 * The log: one line per event, `time level key=value …`, to where daemon/log/log_output.h says. Any thread.
 *
 * A line is written with one system call, so lines of several threads and processes never mix, and it is written before
 * the function returns, or not at all: logging waits for nobody. A line that cannot be written (a full disk, a pipe
 * that nobody reads) is dropped and counted, and the next line that can be written is preceded by the count.
 *
 * How many lines there may be is limited for each kind, for almost every line is something that a client can cause as
 * often as it likes. What is over the limit is counted, and the first line of a later second is preceded by the counts.
 */
#ifndef OCHE_DAEMON_LOG_LOG_H
#define OCHE_DAEMON_LOG_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);

/* Opens the log's file anew, if it has one: for log rotation. */
void log_reopen_file(void);

/* A successor writes to the same file, and bounds it from now on; this process only appends. */
void log_hand_over(void);

/* Lines with one format are a kind: 1000 at once, and 50 in a second for long. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* For failures, which are one kind all together: 50 in a second. */
__attribute__((format(printf, 2, 3))) void log_failure(enum log_level level, const char *format, ...);

#endif
