/*
 * A loop of attempts, each of which connects a new socket and says hello on it. An attempt that finds nobody starts a
 * daemon. One that finds somebody who is coming, leaving or very busy is repeated after a short pause. A started daemon
 * that found its place taken by another one, whom nobody can connect to, is not started again at once: that one may be
 * about to listen, or to make its socket anew. All of this ends with the deadline.
 *
 * Whom we talk to is checked twice: the socket's file, before connecting, and the process at the other end, after. Both
 * must belong to this user or to root.
 */

/* Or a 32-bit lstat() fails on files whose inode number takes more than 32 bits. */
#define _FILE_OFFSET_BITS 64

#include "client/connect/daemon_connect.h"

#include "client/connect/daemon_start.h"
#include "client/os/diagnostics.h"
#include "proto/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PAUSE = 10, /* milliseconds between two attempts to connect */
    /* Milliseconds between two starts of a daemon, when the first one has found its place taken. The pause doubles. */
    FIRST_START_PAUSE = 40,
    LONGEST_START_PAUSE = 1000,
};

/* What an attempt comes to, besides 0 and negative OCHE_ERR_ codes. */
enum attempt {
    ATTEMPT_NOBODY = 1, /* nobody serves there */
    ATTEMPT_AGAIN,      /* somebody is there, but coming or leaving, or very busy */
    ATTEMPT_TAKEN,      /* nobody serves there, but another daemon has the place */
};

static bool is_trusted(uid_t user)
{
    return user == geteuid() || user == 0;
}

/* Whoever can bind a socket where ours should be could read and write all that we send. */
static int64_t refuse_stranger(const char *what, const char *path, uid_t user)
{
    diagnostics_fail(0, "%s %s belongs to user %u, not to this one", what, path, (unsigned)user);
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

static int64_t check_file(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return ATTEMPT_NOBODY;
        diagnostics_fail(errno, "cannot look at the daemon's socket %s", path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    if (!is_trusted(status.st_uid))
        return refuse_stranger("the socket", path, status.st_uid);
    return 0;
}

static int64_t check_peer(int fd, const char *path)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        diagnostics_fail(errno, "cannot find out who serves %s", path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    return is_trusted(peer.uid) ? 0 : refuse_stranger("the daemon at", path, peer.uid);
}

static int64_t connect_socket(int fd, const struct sockaddr_un *address)
{
    const char *path = address->sun_path;
    int64_t status = check_file(path);
    if (status)
        return status;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return check_peer(fd, path);
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
        return ATTEMPT_NOBODY;
    case EAGAIN: /* unix(7): the backlog is full */
    case EINTR:
        return ATTEMPT_AGAIN;
    default:
        diagnostics_fail(errno, "cannot connect to the daemon at %s", path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
}

/* The number of the process that serves there, as it has written it into its lock file; 0 if that cannot be read. */
static long serving_process(const char *socket_path)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof ".lock"], text[16];
    snprintf(path, sizeof path, "%s.lock", socket_path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[length < 0 ? 0 : length] = '\0';
    long process = strtol(text, NULL, 10);
    return process > 0 ? process : 0;
}

/* Somebody listens there, but the time is over: the daemon may be stopped, hang, or be very busy. */
static int64_t refuse_unresponsive(const char *socket_path)
{
    long process = serving_process(socket_path);
    if (process > 0)
        diagnostics_fail(0, "the daemon at %s, process %ld, does not answer within %d seconds", socket_path, process,
                         DAEMON_CONNECT_TIME_LIMIT / 1000);
    else
        diagnostics_fail(0, "the daemon at %s does not answer within %d seconds", socket_path,
                         DAEMON_CONNECT_TIME_LIMIT / 1000);
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

/* One attempt to connect and greet. */
static int64_t attempt_connect(const struct sockaddr_un *address, const struct daemon_connect *connect,
                               const struct deadline *deadline, int *fd, struct welcome *welcome)
{
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0) {
        diagnostics_fail(errno, "cannot make a socket");
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    int64_t status = connect_socket(made, address);
    if (status == 0) {
        status = hello_exchange(made, deadline, &connect->hello, welcome);
        if (status == HELLO_HUNG_UP)
            status = ATTEMPT_AGAIN;
        else if (status == HELLO_SILENT)
            status = refuse_unresponsive(address->sun_path);
    }
    if (status == 0)
        *fd = made;
    else
        close(made);
    return status;
}

static int64_t start(const struct daemon_connect *connect, const struct deadline *deadline,
                     char why[DAEMON_START_WHY_SIZE])
{
    if (connect->never_start) {
        diagnostics_fail(0, "nobody serves %s", connect->socket_path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    diagnostics_say("nobody serves %s", connect->socket_path);
    int64_t status = daemon_start_run(connect->daemon_path, connect->socket_path, deadline, why);
    return status == DAEMON_START_TAKEN ? ATTEMPT_TAKEN : status;
}

/* Another daemon has the place, as `why` says, and nobody could connect to it. */
static int64_t refuse_taken(const char *socket_path, const char *why)
{
    diagnostics_fail(0, "nobody serves %s, and none could be started within %d seconds: %s", socket_path,
                     DAEMON_CONNECT_TIME_LIMIT / 1000, why);
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

int64_t daemon_connect_run(const struct daemon_connect *connect, const struct deadline *deadline, int *fd,
                           struct welcome *welcome)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(connect->socket_path);
    if (length >= sizeof address.sun_path) {
        diagnostics_fail(0, "the socket path is longer than the %zu bytes that the system allows: %s",
                         sizeof address.sun_path - 1, connect->socket_path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    memcpy(address.sun_path, connect->socket_path, length);

    /* When a daemon that was started finds the place taken, the daemon that has the place may be about to listen or to
     * leave, or somebody has removed its socket, which it is going to make anew. So it is worth to wait for it. */
    struct deadline next_start = deadline_in(0, -1);
    int64_t start_pause = FIRST_START_PAUSE;
    char why[DAEMON_START_WHY_SIZE] = ""; /* what the daemon said that found the place taken last; "": none did */
    for (;;) {
        int64_t status = attempt_connect(&address, connect, deadline, fd, welcome);
        if (status == 0)
            diagnostics_say("session %llu at %s", (unsigned long long)welcome->session, connect->socket_path);
        if (status == ATTEMPT_NOBODY && deadline_is_over(&next_start)) {
            status = start(connect, deadline, why);
            if (status == 0)
                continue;
            next_start = deadline_in(start_pause, -1);
            start_pause = start_pause < LONGEST_START_PAUSE ? start_pause * 2 : LONGEST_START_PAUSE;
        }
        if (status == OCHE_ERR_DAEMON_UNAVAILABLE && *why && deadline_is_over(deadline))
            return refuse_taken(connect->socket_path,
                                why); /* the last start was cut short, and has no words of its own */
        if (status <= 0)
            return status;
        int error = deadline_pause(deadline, PAUSE);
        if (error == -ECANCELED)
            return OCHE_ERR_CLOSED;
        if (error < 0 && *why && status != ATTEMPT_AGAIN)
            return refuse_taken(connect->socket_path, why);
        if (error < 0)
            return refuse_unresponsive(connect->socket_path);
    }
}
