/*
 * The territory: the directories in which a daemon that has started may still open, make and remove files, and nowhere
 * else, see landlock(7). Who has taken a daemon over can so change neither the programs nor the files of its user.
 */
#ifndef OCHE_DAEMON_PROCESS_SANDBOX_FILES_H
#define OCHE_DAEMON_PROCESS_SANDBOX_FILES_H

#include <stddef.h>

/* From now on this thread, and the threads and processes that it makes, may use files only in the directories of these
 * `paths`, of which NULL is none, and /dev/null; and can run nothing. What is open stays so. No new privileges must be
 * in force. 0 or -errno: -ENOSYS or -EOPNOTSUPP where the system cannot do it. */
int sandbox_files_enter(const char *const *paths, size_t count);

#endif
