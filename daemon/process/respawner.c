#include "daemon/process/respawner.h"

#include "daemon/engine/fd_message.h"
#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/log/log_output.h"
#include "daemon/process/background.h"
#include "daemon/process/caretaker.h"
#include "daemon/process/sandbox.h"

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

enum {
    LINE = STDIN_FILENO,
    BELL = STDERR_FILENO + 1,
    STATUS_NOT_RUN = 127,
    TIMER_SLACK = 500000000, /* nanoseconds */
};

struct message_to_respawner {
    enum respawner_word word;
    struct rendezvous_files own;
};

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
static char **command_line_of(const struct respawner_order *order)
{
    static char replace[] = "--replace";
    static char socket[sizeof "--socket=" + PATH_MAX];
    static char log_file[sizeof "--log-file=" + PATH_MAX + PATH_MAX];
    size_t count = (size_t)order->argument_count;
    snprintf(socket, sizeof socket, "--socket=%s", order->rendezvous->address.sun_path);
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

/* ---- in the respawner ---- */

struct attendant {
    char program[2 * PATH_MAX];
    char **command_line;
    bool background;
    pid_t successor; /* the child that is to be one; -1: there is none */
    struct caretaker caretaker;
};

/* What has to be said on standard error goes where it went for the daemon, or else to the log. */
static void lend_standard_error(const struct attendant *attendant)
{
    if (attendant->background)
        dup2(log_output_descriptor(), STDERR_FILENO);
}

/* In the child. */
static _Noreturn void become_successor(const struct attendant *attendant)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    lend_standard_error(attendant);
    sandbox_pass_on_capabilities();
    handover_key_put(&attendant->caretaker.rendezvous.key);
    execve(attendant->program, attendant->command_line, environ);
    fprintf(stderr, "oched: cannot run %s: %s\n", attendant->program, strerror(errno));
    _exit(STATUS_NOT_RUN);
}

static void start(struct attendant *attendant)
{
    if (attendant->successor > 0) {
        log_line(LOG_WARNING, "event=ignored signal=SIGUSR2 why=\"successor %d is on its way\"",
                 (int)attendant->successor);
        return;
    }
    attendant->successor = fork();
    if (attendant->successor == 0)
        become_successor(attendant);
    if (attendant->successor < 0)
        log_line(LOG_ERROR, "event=successor-failed error=\"%s\" errno=%d", errno_text(errno), errno);
    else
        log_line(LOG_INFO, "event=successor pid=%d program=\"%s\"", (int)attendant->successor, attendant->program);
}

/* A child that goes to the background ends when its daemon serves. */
static void look_after(struct attendant *attendant)
{
    int status = 0;
    if (attendant->successor <= 0 || waitpid(attendant->successor, &status, WNOHANG) != attendant->successor)
        return;
    if (status != 0)
        log_line(LOG_ERROR, "event=successor-failed pid=%d status=%d", (int)attendant->successor,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    attendant->successor = -1;
}

/* ---- the files ---- */

static void tell(struct respawner_news *news)
{
    union fd_message_control control;
    struct iovec vector = {.iov_base = news, .iov_len = sizeof *news};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int descriptors[2], count = 0;
    if (news->lock_fd >= 0)
        descriptors[count++] = news->lock_fd;
    if (news->listen_fd >= 0)
        descriptors[count++] = news->listen_fd;
    if (count > 0)
        fd_message_attach(&message, &control, descriptors, count);
    if (sendmsg(LINE, &message, MSG_NOSIGNAL) < 0 || write(BELL, "", 1) < 0) {
        /* The daemon has ended, or the bell is full and rings anyway. */
    }
    for (int i = 0; i < count; i++)
        close(descriptors[i]); /* a lock that the daemon has not got is free again */
}

/* True: there is something to do. When files are missing and the daemon has something to say, it may be that it leaves,
 * and that they are missing for that; it says so first. */
static bool is_called_for(const struct attendant *attendant)
{
    struct pollfd line = {.fd = LINE, .events = POLLIN};
    return !caretaker_finds_all(&attendant->caretaker) && poll(&line, 1, 0) == 0;
}

static void mend(struct attendant *attendant)
{
    struct rendezvous *rendezvous = &attendant->caretaker.rendezvous;
    struct respawner_news news = {.lock_fd = -1, .listen_fd = -1};
    lend_standard_error(attendant);
    enum caretaker_news found = caretaker_mend(&attendant->caretaker);
    if (attendant->background)
        background_detach(STDERR_FILENO);
    if (found == CARETAKER_NOTHING)
        return;
    news.word = found == CARETAKER_ORPHAN ? RESPAWNER_ORPHAN : RESPAWNER_MADE_ANEW;
    if (found == CARETAKER_MADE_ANEW) {
        news.own = rendezvous->own;
        news.lock_fd = rendezvous->lock_fd;
        news.listen_fd = rendezvous->listen_fd;
    }
    tell(&news);
}

static void remove_files(struct caretaker *caretaker)
{
    struct respawner_news news = {.word = RESPAWNER_REMOVED, .lock_fd = -1, .listen_fd = -1};
    caretaker_end(caretaker);
    rendezvous_remove(caretaker->rendezvous.address.sun_path, &caretaker->rendezvous.own);
    tell(&news);
}

/* ---- the work ---- */

static void on_child_changed(int signal)
{
    (void)signal; /* ppoll(2) returns, which is all */
}

static void hear(struct attendant *attendant, const struct message_to_respawner *message)
{
    switch (message->word) {
    case RESPAWNER_SUCCEED:
        start(attendant);
        break;
    case RESPAWNER_WATCH:
        caretaker_begin(&attendant->caretaker, &message->own);
        break;
    case RESPAWNER_LOOK:
        if (is_called_for(attendant))
            mend(attendant);
        break;
    case RESPAWNER_FORGET:
        caretaker_end(&attendant->caretaker);
        break;
    case RESPAWNER_REMOVE:
        remove_files(&attendant->caretaker);
        break;
    }
}

static _Noreturn void work(struct attendant *attendant)
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
        struct message_to_respawner message;
        int timeout = caretaker_timeout(&attendant->caretaker);
        const struct timespec pause = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
        int events = ppoll(&line, 1, timeout < 0 ? NULL : &pause, &while_waiting);
        if (events > 0 ? recv(LINE, &message, sizeof message, 0) != sizeof message : events < 0 && errno != EINTR) {
            close(BELL);
            _exit(0);
        }
        if (events == 0 && !is_called_for(attendant))
            continue;
        log_reopen_file();
        look_after(attendant);
        if (events > 0)
            hear(attendant, &message);
        else if (events == 0)
            mend(attendant);
        log_output_release();
    }
}

/* Lets go of all that it has inherited, above all the door, the lock, listeners and the daemon's ends of the lines. 0
 * or an errno value. */
static int let_go(const struct respawner_order *order, int line, int bell)
{
    prctl(PR_SET_NAME, "oched-respawner", 0, 0, 0);
    log_output_limit(0); /* the daemon bounds it */
    /* Nobody waits for a look at the files: it may come together with others' timers, and wakes nobody by itself. */
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
    log_output_release();
    if (dup2(line, LINE) < 0 || (bell != BELL && dup3(bell, BELL, O_CLOEXEC) < 0) ||
        close_range(BELL + 1, UINT_MAX, 0) < 0)
        return errno;
    if (order->background)
        background_detach(STDOUT_FILENO);
    return 0;
}

static _Noreturn void begin(const struct respawner_order *order, int line, int bell)
{
    struct attendant attendant = {
        .command_line = command_line_of(order),
        .background = order->background,
        .successor = -1,
        .caretaker = {.rendezvous = *order->rendezvous, .daemon = getppid()},
    };
    find_program(attendant.program, sizeof attendant.program);
    attendant.caretaker.rendezvous.own = (struct rendezvous_files){.lock.inode = 0}; /* until the daemon says it has */
    int error = attendant.command_line ? let_go(order, line, bell) : ENOMEM;
    if (send(error ? line : LINE, &error, sizeof error, MSG_NOSIGNAL) < 0 || error)
        _exit(1);
    work(&attendant);
}

/* ---- in the daemon ---- */

/* Until the respawner has let go it holds listeners that the daemon may be about to close. 0 or -errno. */
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

static void close_pair(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

int respawner_fork(const struct respawner_order *order, struct respawner *respawner)
{
    int line[2], bell[2];
    *respawner = (struct respawner){.line = -1, .bell = -1};
    if (!*order->rendezvous->address.sun_path) /* one without a name cannot be named to a successor */
        return -ENOTSUP;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) < 0)
        return -errno;
    if (pipe2(bell, O_CLOEXEC | O_NONBLOCK) < 0) {
        int error = errno;
        close_pair(line);
        return -error;
    }
    pid_t pid = fork();
    if (pid == 0)
        begin(order, line[1], bell[1]);
    int r = pid < 0 ? -errno : 0;
    close(line[1]);
    close(bell[1]);
    if (r == 0)
        r = wait_for(line[0]);
    if (r == 0) {
        *respawner = (struct respawner){.line = line[0], .bell = bell[0]};
        return 0;
    }
    close(line[0]);
    close(bell[0]);
    return r;
}

int respawner_say(const struct respawner *respawner, enum respawner_word word, const struct rendezvous_files *own)
{
    struct message_to_respawner message = {.word = word};
    if (respawner->line < 0)
        return -EBADF;
    if (own)
        message.own = *own;
    return send(respawner->line, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool respawner_hear(const struct respawner *respawner, int limit, struct respawner_news *news)
{
    union fd_message_control control;
    struct iovec vector = {.iov_base = news, .iov_len = sizeof *news};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct pollfd line = {.fd = respawner->line, .events = POLLIN};
    int descriptors[2] = {-1, -1}, taken = 0, ready = -1;
    /* A signal, of which there may be many while the daemon leaves, does not end the wait. */
    while (respawner->line >= 0 && (ready = poll(&line, 1, limit)) < 0 && errno == EINTR)
        continue;
    if (ready <= 0 || recvmsg(respawner->line, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof *news)
        return false;
    fd_message_detach(&message, descriptors, 2);
    /* The numbers in the message are the respawner's; it sent along what was not -1. */
    if (news->lock_fd >= 0)
        news->lock_fd = descriptors[taken++];
    if (news->listen_fd >= 0)
        news->listen_fd = descriptors[taken];
    return true;
}
