#include "daemon/process/background.h"

#include "daemon/log/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The process that was started: it leaves with 0 when the byte comes, else with the status of the one that serves. */
static _Noreturn void wait_for_ready(int descriptor, pid_t serving)
{
    char byte;
    ssize_t count;
    do
        count = read(descriptor, &byte, 1);
    while (count < 0 && errno == EINTR);
    if (count == 1)
        _exit(0);
    int status = 0;
    while (waitpid(serving, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

/* A descriptor that leads nowhere. Where there is no /dev/null, as in some containers, it cannot be read from or
 * written to either, but has its place among the standard streams, so that no file of ours gets there. */
static int open_null(int flags)
{
    int fd = open("/dev/null", O_RDWR | flags);
    return fd < 0 && errno == ENOENT ? open("/", O_PATH | O_DIRECTORY | flags) : fd;
}

void background_open_streams(void)
{
    int fd;
    do
        fd = open_null(0);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int background_enter(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        fprintf(stderr, "oched: cannot make a pipe: %s\n", strerror(errno));
        return -1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "oched: cannot fork: %s\n", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (pid > 0) {
        close(ends[1]);
        wait_for_ready(ends[0], pid);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

void background_detach(int first)
{
    int null = open_null(O_CLOEXEC);
    for (int stream = first; stream <= STDERR_FILENO && null >= 0; stream++) {
        if (!log_output_uses(stream))
            dup2(null, stream);
    }
    if (null > STDERR_FILENO)
        close(null);
    if (chdir("/") < 0) {
        /* Then the directory cannot be unmounted as long as the daemon runs. */
    }
}

void background_ready(int descriptor)
{
    background_detach(STDIN_FILENO);
    while (write(descriptor, "R", 1) < 0 && errno == EINTR) {
    }
    close(descriptor);
}
