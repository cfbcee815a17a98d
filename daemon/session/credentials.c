#include "daemon/session/credentials.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Linux 6.5; younger than the headers of some systems. The same number on all of Linux but parisc and sparc. */
#if !defined(SO_PEERPIDFD) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERPIDFD 77
#endif

/* Linux 5.14, with the same exceptions. */
#if !defined(SO_NETNS_COOKIE) && !defined(__hppa__) && !defined(__sparc__)
#define SO_NETNS_COOKIE 71
#endif

/* Sessions belong to the process that made them. When that has ended, its number, which the log would name, may already
 * be another's: a pidfd, unlike a number, always means the process that connected. False where there is no pidfd. */
static bool has_ended(int fd)
{
#ifdef SO_PEERPIDFD
    struct pollfd process = {.fd = -1, .events = POLLIN};
    socklen_t length = sizeof process.fd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &process.fd, &length) < 0)
        return errno == ESRCH || errno == EINVAL; /* which of them depends on the kernel; others mean "no pidfd" */
    bool ended = poll(&process, 1, 0) > 0;        /* pidfd_open(2): readable when the process has ended */
    close(process.fd);
    return ended;
#else
    (void)fd;
    return false;
#endif
}

const char *credentials_objection(int fd, struct ucred *peer)
{
    socklen_t length = sizeof *peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &length) < 0)
        return "its credentials cannot be read";
    if (peer->uid != geteuid())
        return "it belongs to another user";
    if (has_ended(fd))
        return "it has ended";
    return NULL;
}

void credentials_write_pid(pid_t pid, char text[CREDENTIALS_PID_SIZE])
{
    if (pid > 0)
        snprintf(text, CREDENTIALS_PID_SIZE, "%d", (int)pid);
    else
        snprintf(text, CREDENTIALS_PID_SIZE, "?");
}

uint64_t credentials_network(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    uint64_t network = credentials_network_of(fd);
    close(fd);
    return network;
}

uint64_t credentials_network_of(int fd)
{
    uint64_t cookie = 0;
#ifdef SO_NETNS_COOKIE
    socklen_t size = sizeof cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
        return 0;
#else
    (void)fd;
#endif
    return cookie;
}
