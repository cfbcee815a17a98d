#include "daemon/process/lock_file.h"

#include "daemon/log/complaint.h"
#include "daemon/process/file_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void lock_file_path(const char *socket_path, char path[LOCK_FILE_PATH_SIZE])
{
    snprintf(path, LOCK_FILE_PATH_SIZE, "%s.lock", socket_path);
}

/* In a directory like /tmp others can put a file there first: to hold it locked for ever, or, as another link to a file
 * of ours, to have us write to that. */
static bool is_of_our_own(int fd, const char *path)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        complain("cannot look at the lock file %s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode) || status.st_nlink > 1)
        complain("the lock file %s is no file of its own; remove it, or choose another path with --socket", path);
    else if (status.st_uid != geteuid())
        complain("the lock file %s belongs to user %u, not to this one; choose another path with --socket", path,
                 (unsigned)status.st_uid);
    else
        return true;
    return false;
}

int lock_file_take(const char *socket_path, int *fd)
{
    char path[LOCK_FILE_PATH_SIZE];
    lock_file_path(socket_path, path);
    for (;;) {
        int made = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (made < 0)
            return complain("cannot open the lock file %s: %s", path, strerror(errno));
        if (!is_of_our_own(made, path)) {
            close(made);
            return -1;
        }
        if (flock(made, LOCK_EX | LOCK_NB) < 0) {
            int error = errno;
            close(made);
            return error == EWOULDBLOCK ? LOCK_FILE_TAKEN : complain("cannot lock %s: %s", path, strerror(error));
        }
        /* Its last holder may have removed the file between our open and our flock: then nobody else will ever look at
         * the file that we have locked, and it takes another attempt. */
        if (file_id_is_same(file_id_of(made), file_id_at(path))) {
            *fd = made;
            return 0;
        }
        close(made);
    }
}

void lock_file_sign(int fd, pid_t pid)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%d\n", (int)pid);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) < 0) {
        /* Only a courtesy. */
    }
}

pid_t lock_file_holder(const char *socket_path)
{
    char path[LOCK_FILE_PATH_SIZE], text[32] = "";
    lock_file_path(socket_path, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    long pid = length > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 0 ? (pid_t)pid : 0;
}
