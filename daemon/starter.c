#include "daemon/starter.h"

#include "daemon/background.h"
#include "daemon/confinement.h"
#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE = STDIN_FILENO, FIRST_DESCRIPTOR = STDERR_FILENO + 1, STATUS_NOT_RUN = 127 };

static char socket_option[sizeof "--socket=" + PATH_MAX];

/* What a successor is run with: `argv`, and where the daemon really serves, for a service manager may have chosen. A
 * daemon that was started like this needs no more. NULL: out of memory. */
static char **successors_command_line(char **argv, const char *socket_path)
{
    static char replace[] = "--replace";
    size_t count = 0;
    while (argv[count])
        count++;
    snprintf(socket_option, sizeof socket_option, "--socket=%s", socket_path);
    if (count >= 2 && strcmp(argv[count - 2], replace) == 0 && strcmp(argv[count - 1], socket_option) == 0)
        return argv;
    char **command_line = calloc(count + 3, sizeof *command_line);
    if (!command_line)
        return NULL;
    memcpy(command_line, argv, count * sizeof *argv);
    command_line[count] = replace;
    command_line[count + 1] = socket_option;
    return command_line;
}

/* As it was named when it was run, so that what a new version has put there is run next time. */
static const char *program(void)
{
    const char *path = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    return path ? path : "";
}

/* ---- in the starter ---- */

/* In the child that becomes the successor. What that has to say before its own log is open goes to this one. */
static _Noreturn void become_successor(char **command_line)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(log_descriptor(), STDERR_FILENO);
    confinement_pass_on_capabilities();
    execve(program(), command_line, environ);
    fprintf(stderr, "oched: cannot run %s: %s\n", program(), strerror(errno));
    _exit(STATUS_NOT_RUN);
}

/* The successor's process, or -1. */
static pid_t start(char **command_line)
{
    pid_t pid = fork();
    if (pid == 0)
        become_successor(command_line);
    if (pid < 0)
        log_line(LOG_ERROR, "event=successor-failed error=\"%s\" errno=%d", log_errno_text(errno), errno);
    else
        log_line(LOG_INFO, "event=successor pid=%d program=\"%s\"", (int)pid, program());
    return pid;
}

/* True: the child `pid` has ended. One that goes to the background ends when its daemon serves. */
static bool has_ended(pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    if (status != 0)
        log_line(LOG_ERROR, "event=successor-failed pid=%d status=%d", (int)pid,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return true;
}

static void on_child_changed(int signal)
{
    (void)signal; /* ppoll(2) returns, which is all */
}

static _Noreturn void work(char **command_line)
{
    struct sigaction action = {.sa_handler = on_child_changed};
    sigset_t blocked, while_waiting;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
    sigdelset(&while_waiting, SIGCHLD);
    sigaction(SIGCHLD, &action, NULL);

    pid_t successor = -1;
    for (;;) {
        struct pollfd line = {.fd = LINE, .events = POLLIN};
        char word;
        bool asked = ppoll(&line, 1, NULL, &while_waiting) > 0;
        if (asked ? read(LINE, &word, sizeof word) <= 0 : errno != EINTR)
            _exit(0);
        log_reopen_file(); /* it may have been rotated meanwhile */
        if (successor > 0 && has_ended(successor))
            successor = -1;
        if (asked && successor > 0)
            log_line(LOG_WARNING, "event=ignored signal=SIGUSR2 why=\"successor %d is on its way\"", (int)successor);
        else if (asked)
            successor = start(command_line);
    }
}

/* What the starter has inherited and has no use for: above all the door, the lock and listeners. */
static void let_go(int line, bool background)
{
    int log = log_descriptor();
    dup2(line, LINE);
    if (log > FIRST_DESCRIPTOR)
        close_range(FIRST_DESCRIPTOR, (unsigned)log - 1, 0);
    close_range(log < FIRST_DESCRIPTOR ? FIRST_DESCRIPTOR : (unsigned)log + 1, UINT_MAX, 0);
    if (background)
        background_detach(STDOUT_FILENO);
    prctl(PR_SET_NAME, "oched-starter", 0, 0, 0);
}

/* ---- in the daemon ---- */

int starter_fork(char **argv, const char *socket_path, bool background)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        char **command_line = successors_command_line(argv, socket_path);
        let_go(ends[1], background);
        if (!command_line)
            _exit(1);
        work(command_line);
    }
    int error = errno;
    close(ends[1]);
    if (pid > 0)
        return ends[0];
    close(ends[0]);
    return -error;
}

int starter_ask(int line)
{
    const char word = 'S';
    if (line < 0)
        return -EBADF;
    return send(line, &word, sizeof word, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
