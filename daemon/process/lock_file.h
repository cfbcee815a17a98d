/*
 * The lock beside a socket, SOCKET.lock, which makes sure that one daemon serves the socket.
 *
 * The lock is flock(2) on that file. It goes away with the process, however the process ends, so whoever holds it may
 * treat a socket file that is there as stale. The file holds one line, the process number of the daemon in decimal, for
 * people and for the next daemon that finds the lock held.
 */
#ifndef OCHE_DAEMON_PROCESS_LOCK_FILE_H
#define OCHE_DAEMON_PROCESS_LOCK_FILE_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

enum { LOCK_FILE_PATH_SIZE = sizeof((struct sockaddr_un *)0)->sun_path + 8 };

void lock_file_path(const char *socket_path, char path[LOCK_FILE_PATH_SIZE]);

/* Positive conditions of lock_file_take(). */
enum { LOCK_FILE_TAKEN = 1 };

/* Takes the lock. 0 and *fd; LOCK_FILE_TAKEN: another daemon has it; or -1 with the reason on standard error. */
int lock_file_take(const char *socket_path, int *fd);

/* Tells the next daemon, which finds the lock held, by which process. */
void lock_file_sign(int fd, pid_t pid);

/* The process that has the lock, as it has signed; its own number, if it is in another PID namespace. 0: unknown. */
pid_t lock_file_holder(const char *socket_path);

#endif
