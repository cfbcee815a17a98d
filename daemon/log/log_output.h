/*
 * Where the lines of the log go: to a standard stream of the process, or to a file.
 *
 * Nothing here waits. The reader of a pipe, a terminal or a socket may have stopped to read, and then there is no room
 * for a line: it is not written, and daemon/log/log.h counts it. O_NONBLOCK belongs to the open file, which a standard
 * stream shares with the program that started the daemon and that relies on it as it is; so the daemon opens such a
 * stream anew, for itself, and where that is not allowed asks before each line.
 *
 * A regular file is bounded. When it is full it is renamed to PATH.1, in the place of its predecessor, and begun anew.
 * Where the daemon may not rename (see daemon/process/sandbox.h), or others own the directory, the file is emptied
 * instead: the bound holds, and what was in it is lost. A file that the system does not let grow (RLIMIT_FSIZE) is
 * full, too.
 *
 * Functions that return text return NULL, or why it could not be done; the output is then what it was. They are called
 * while there is one thread; what is needed later goes by way of daemon/log/log.h, which has the lock.
 */
#ifndef OCHE_DAEMON_LOG_LOG_OUTPUT_H
#define OCHE_DAEMON_LOG_LOG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_OUTPUT_LEAST = 4096 /* bytes: a bound is no lower */ };

/* A standard stream; at first it is standard error. */
void log_output_stream(int stream);

/* A regular file that the daemon makes for itself: it must be this user's, and have one name. It is appended to; a new
 * one has mode 0600. */
const char *log_output_file(const char *path);

/* What an operator has named: a file of anybody's, a link to one, which is followed now and not again, /dev/stdout or
 * /dev/stderr as they are, a FIFO, a terminal. */
const char *log_output_named(const char *path);

/* Bytes that a file may have; 0: any number. At first 0. */
void log_output_limit(uint64_t size);

/* The path of the regular file, without links; NULL: there is none. Valid as long as the output stays. */
const char *log_output_path(void);

int log_output_descriptor(void);

/* True: lines go to this standard stream, so it has to stay open. */
bool log_output_uses(int stream);

/* Closes what was opened for the output, until log_output_reopen(). Lines go to standard error, or to the stream to
 * which they went before. */
void log_output_release(void);

/* Opens the regular file anew, by its path. Does nothing where there is none. */
const char *log_output_reopen(void);

/* False: not written, or not all of it; then what is written next begins a line of its own. */
bool log_output_write(const char *line, size_t length);

#endif
