#include "daemon/starter.h"

#include "daemon/background.h"
#include "daemon/confinement.h"
#include "daemon/log.h"
#include "daemon/log_output.h"

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

enum { LINE = STDIN_FILENO, STATUS_NOT_RUN = 127 };

/* The same path from another directory, for the successor of a background daemon starts in the root directory. `prefix`
 * comes before it. */
static void make_absolute(char *out, size_t size, const char *prefix, const char *path)
{
    char directory[PATH_MAX];
    if (*path == '/' || !getcwd(directory, sizeof directory))
        snprintf(out, size, "%s%s", prefix, path);
    else
        snprintf(out, size, "%s%s/%s", prefix, directory, path);
}

/* What a successor is run with: --replace, and where the daemon really serves, for a service manager may have chosen,
 * in the place of those that a successor has already. A log file with a relative path is named once more. NULL: out of
 * memory. */
static char **command_line_of(const struct starter_order *order)
{
    static char replace[] = "--replace";
    static char socket[sizeof "--socket=" + PATH_MAX];
    static char log_file[sizeof "--log-file=" + 2 * PATH_MAX];
    size_t count = 0;
    while (order->argv[count])
        count++;
    snprintf(socket, sizeof socket, "--socket=%s", order->socket_path);
    if (order->is_successor && count > 2 && strcmp(order->argv[count - 2], replace) == 0 &&
        strcmp(order->argv[count - 1], socket) == 0)
        count -= 2;
    char **command_line = calloc(count + 4, sizeof *command_line);
    if (!command_line)
        return NULL;
    memcpy(command_line, order->argv, count * sizeof *order->argv);
    if (order->log_path && *order->log_path != '/') {
        make_absolute(log_file, sizeof log_file, "--log-file=", order->log_path);
        command_line[count++] = log_file;
    }
    command_line[count] = replace;
    command_line[count + 1] = socket;
    return command_line;
}

/* As it was named when it was run, so that what a new version has put there is run next time. */
static void find_program(char *out, size_t size)
{
    const char *path = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    make_absolute(out, size, "", path ? path : "");
}

/* ---- in the starter ---- */

struct starter {
    char program[2 * PATH_MAX];
    char **command_line;
    bool background;
    pid_t successor; /* the child that is to be one; -1: there is none */
};

/* In the child. What it has to say before its own log is open goes where it went for the daemon, or else to the log. */
static _Noreturn void become_successor(const struct starter *starter)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    if (starter->background)
        dup2(log_output_descriptor(), STDERR_FILENO);
    confinement_pass_on_capabilities();
    execve(starter->program, starter->command_line, environ);
    fprintf(stderr, "oched: cannot run %s: %s\n", starter->program, strerror(errno));
    _exit(STATUS_NOT_RUN);
}

static void start(struct starter *starter)
{
    if (starter->successor > 0) {
        log_line(LOG_WARNING, "event=ignored signal=SIGUSR2 why=\"successor %d is on its way\"",
                 (int)starter->successor);
        return;
    }
    starter->successor = fork();
    if (starter->successor == 0)
        become_successor(starter);
    if (starter->successor < 0)
        log_line(LOG_ERROR, "event=successor-failed error=\"%s\" errno=%d", log_errno_text(errno), errno);
    else
        log_line(LOG_INFO, "event=successor pid=%d program=\"%s\"", (int)starter->successor, starter->program);
}

/* A child that goes to the background ends when its daemon serves. */
static void look_after(struct starter *starter)
{
    int status = 0;
    if (starter->successor <= 0 || waitpid(starter->successor, &status, WNOHANG) != starter->successor)
        return;
    if (status != 0)
        log_line(LOG_ERROR, "event=successor-failed pid=%d status=%d", (int)starter->successor,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    starter->successor = -1;
}

static void on_child_changed(int signal)
{
    (void)signal; /* ppoll(2) returns, which is all */
}

static _Noreturn void work(struct starter *starter)
{
    struct sigaction action = {.sa_handler = on_child_changed};
    sigset_t blocked, while_waiting;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
    sigdelset(&while_waiting, SIGCHLD);
    sigaction(SIGCHLD, &action, NULL);

    for (;;) {
        struct pollfd line = {.fd = LINE, .events = POLLIN};
        char word;
        bool asked = ppoll(&line, 1, NULL, &while_waiting) > 0;
        if (asked ? read(LINE, &word, sizeof word) <= 0 : errno != EINTR)
            _exit(0);
        log_reopen_file();
        look_after(starter);
        if (asked)
            start(starter);
        log_output_release();
    }
}

/* Lets go of all that it has inherited, above all the door, the lock, listeners and the daemon's end of the line. 0 or
 * an errno value. */
static int let_go(const struct starter_order *order, int line)
{
    prctl(PR_SET_NAME, "oched-starter", 0, 0, 0);
    log_output_limit(0); /* the daemon bounds it */
    log_output_release();
    if (dup2(line, LINE) < 0 || close_range(STDERR_FILENO + 1, UINT_MAX, 0) < 0)
        return errno;
    if (order->background)
        background_detach(STDOUT_FILENO);
    return 0;
}

static _Noreturn void begin(const struct starter_order *order, int line)
{
    struct starter starter = {.command_line = command_line_of(order), .background = order->background, .successor = -1};
    find_program(starter.program, sizeof starter.program);
    int error = starter.command_line ? let_go(order, line) : ENOMEM;
    if (send(error ? line : LINE, &error, sizeof error, MSG_NOSIGNAL) < 0 || error)
        _exit(1);
    work(&starter);
}

/* ---- in the daemon ---- */

/* Until the starter has let go it holds listeners that the daemon may be about to close. 0 or -errno. */
static int wait_for(int line)
{
    int error = 0;
    ssize_t count;
    do
        count = recv(line, &error, sizeof error, 0);
    while (count < 0 && errno == EINTR);
    if (count == (ssize_t)sizeof error)
        return -error;
    return count < 0 ? -errno : -ECHILD;
}

int starter_fork(const struct starter_order *order)
{
    int ends[2];
    if (!*order->socket_path) /* one without a name cannot be named to a successor */
        return -ENOTSUP;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        begin(order, ends[1]);
    int r = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (r == 0)
        r = wait_for(ends[0]);
    if (r == 0)
        return ends[0];
    close(ends[0]);
    return r;
}

int starter_ask(int line)
{
    const char word = 'S';
    if (line < 0)
        return -EBADF;
    return send(line, &word, sizeof word, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
