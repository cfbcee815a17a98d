/*
 * fork() would not do: its child announces its end with SIGCHLD and is found by waitpid(-1), and
 * both belong to the host. A child of clone(2) without an exit signal does neither, but only until
 * it calls execve(2), which resets that signal to SIGCHLD. So there are two: the launcher, which we
 * clone and which never execs, and its own child, which becomes the program. The launcher waits for
 * it and leaves with its status, and we wait for the launcher, with __WALL.
 */
#include "client/os/spawn.h"

#include "client/os/fresh_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REPORT = 3,        /* where the launcher keeps its end of the pipe */
    FIRST_UNUSED,      /* above: nothing of ours, all of it the host's */
    EXEC_FAILED = 127, /* as a shell would say */
    KILLED_BY_SIGNAL = 128,
};

/* What the child needs, prepared before there is one: afterwards only async-signal-safe calls are
 * allowed, because another thread of the host may have held any lock at the moment of the clone. */
struct launch {
    char *const *argv;
    char *const *envp;
    int null_fd;
    int stderr_fd; /* writing ends */
    int report_fd;
};

/* fork() without its handlers, which are the host's; SIGCHLD or 0 as exit signal. All architectures
 * that take the flags first agree on this call, as the other arguments are 0. */
static pid_t clone_process(int exit_signal)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)exit_signal, 0L, 0L, 0L, 0L);
}

/* The child calls the kernel itself where libc's function may be a sanitizer's: that one does not know of the child,
 * takes its descriptors for the host's, waits for locks that the host's threads had, looks for these threads at its
 * end, and ends it for a race or a leak. */

static void assign_descriptor(int fd, int number, int flags)
{
    syscall(SYS_dup3, fd, number, flags);
}

static _Noreturn void end_process(int status)
{
    for (;;)
        syscall(SYS_exit_group, (long)status);
}

static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0)
        return;
#endif
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : 1 << 20;
    for (int fd = first; fd < end; fd++)
        syscall(SYS_close, fd);
}

/* The kernel's own struct sigaction begins with the handler, is longer than libc's on no system, and is SIG_DFL without
 * flags when it is all 0. */
static void reset_signals(void)
{
    static const struct sigaction by_default;
    static const sigset_t none;
    for (int number = 1; number < _NSIG; number++)
        syscall(SYS_rt_sigaction, number, &by_default, NULL, _NSIG / 8L); /* SIGKILL and SIGSTOP are as they must be */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, _NSIG / 8L);
}

static void reset_descriptors(const struct launch *launch)
{
    assign_descriptor(launch->null_fd, STDIN_FILENO, 0);
    assign_descriptor(launch->null_fd, STDOUT_FILENO, 0);
    assign_descriptor(launch->stderr_fd, STDERR_FILENO, 0);
    assign_descriptor(launch->report_fd, REPORT, O_CLOEXEC);
    close_from(FIRST_UNUSED);
}

static _Noreturn void become_program(const struct launch *launch)
{
    execve(launch->argv[0], launch->argv, launch->envp);
    int error = errno;
    while (syscall(SYS_write, REPORT, &error, sizeof error) < 0 && errno == EINTR) {
    }
    end_process(EXEC_FAILED);
}

static _Noreturn void become_launcher(const struct launch *launch)
{
    setsid(); /* so that the two can be killed as a group, and the terminal's signals stay away */
    reset_signals();
    reset_descriptors(launch);
    fresh_start();
    if (chdir("/") < 0)
        end_process(EXEC_FAILED);
    pid_t program = clone_process(SIGCHLD);
    if (program == 0)
        become_program(launch);
    int status = 0;
    long ended;
    do
        ended = syscall(SYS_wait4, program, &status, 0, NULL);
    while (ended < 0 && errno == EINTR);
    if (ended != program)
        end_process(EXEC_FAILED);
    end_process(WIFEXITED(status) ? WEXITSTATUS(status) : KILLED_BY_SIGNAL + WTERMSIG(status));
}

static void close_pair(const int ends[2])
{
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
}

/* Above the numbers that the child assigns, even if the host has closed its standard streams. */
static int lift(int fd)
{
    if (fd < 0)
        return -1;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_UNUSED);
    int error = errno;
    close(fd);
    errno = error;
    return lifted;
}

/* A pipe with close-on-exec ends above the standard streams, the reading end non-blocking. */
static bool make_pipe(int ends[2])
{
    int made[2];
    if (pipe2(made, O_CLOEXEC) < 0)
        return false;
    ends[0] = lift(made[0]);
    ends[1] = lift(made[1]);
    return ends[0] >= 0 && ends[1] >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

/* Signals are blocked meanwhile: a handler of the host's must not run in the child. */
static pid_t clone_launcher(const struct launch *launch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone_process(0);
    /* QEMU's user mode emulation refuses children without an exit signal. There the host may see a SIGCHLD. */
    if (pid < 0 && errno == EINVAL)
        pid = clone_process(SIGCHLD);
    if (pid == 0)
        become_launcher(launch);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/* Becomes the standard input and output of the program. Where there is no /dev/null, as in some containers, it can only
 * not be read from or written to. */
static int open_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd < 0 && errno == ENOENT ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : fd;
}

int spawn_start(struct spawn *spawn, char *const argv[], char *const envp[])
{
    int report[2] = {-1, -1}, messages[2] = {-1, -1}, result = 0;
    int null_fd = lift(open_null());
    if (null_fd < 0 || !make_pipe(report) || !make_pipe(messages))
        goto failed;

    struct launch launch = {
        .argv = argv,
        .envp = envp,
        .null_fd = null_fd,
        .stderr_fd = messages[1],
        .report_fd = report[1],
    };
    pid_t pid = clone_launcher(&launch);
    if (pid < 0)
        goto failed;
    *spawn = (struct spawn){.pid = pid, .report_fd = report[0], .stderr_fd = messages[0]};
    report[0] = messages[0] = -1;
    goto done;

failed:
    result = -errno;
done:
    close_pair(report);
    close_pair(messages);
    if (null_fd >= 0)
        close(null_fd);
    return result;
}

int spawn_finish(struct spawn *spawn)
{
    char unexpected;
    int status = 0;
    /* Nothing more to come means that the launcher is on its way out by itself. */
    if (read(spawn->report_fd, &unexpected, 1) != 0) {
        kill(-spawn->pid, SIGKILL);
        kill(spawn->pid, SIGKILL); /* when it was too young to lead its group */
    }
    close(spawn->report_fd);
    close(spawn->stderr_fd);

    pid_t ended;
    do
        ended = waitpid(spawn->pid, &status, __WALL);
    while (ended < 0 && errno == EINTR);
    if (ended != spawn->pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED_BY_SIGNAL + WTERMSIG(status);
}
