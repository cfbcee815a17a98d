#include "daemon/process/eviction.h"

#include "daemon/log/complaint.h"
#include "daemon/process/file_id.h"
#include "daemon/process/lock_file.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True if the process has the lock file open, which only its holder has. What the file says alone may be wrong: the
 * number can be one of another PID namespace. */
static bool has_open(pid_t pid, struct file_id lock)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(name);
    if (!directory)
        return false;
    bool found = false;
    const struct dirent *entry;
    while (!found && (entry = readdir(directory))) {
        struct stat status; /* of what the entry leads to */
        found = fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 &&
                file_id_is_same((struct file_id){status.st_dev, status.st_ino}, lock);
    }
    closedir(directory);
    return found;
}

static int end_process(int process)
{
    struct pollfd end = {.fd = process, .events = POLLIN}; /* pidfd_open(2): readable when the process has ended */
    if (syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) < 0)
        return -errno;
    return poll(&end, 1, EVICTION_LIMIT) > 0 ? 0 : -ETIMEDOUT;
}

pid_t eviction_run(const char *socket_path)
{
    char lock_path[LOCK_FILE_PATH_SIZE];
    lock_file_path(socket_path, lock_path);
    pid_t pid = lock_file_holder(socket_path);
    /* First the pidfd, then the question whose it is: the process cannot be another one afterwards. */
    int process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (process < 0 || !has_open(pid, file_id_at(lock_path))) {
        if (process >= 0)
            close(process);
        return complain("cannot tell which process serves %s and does not answer; end it, and start oched again",
                        socket_path);
    }
    int r = end_process(process);
    close(process);
    if (r < 0)
        return complain("process %d, which serves %s and does not answer, cannot be ended: %s", (int)pid, socket_path,
                        strerror(-r));
    return pid;
}
