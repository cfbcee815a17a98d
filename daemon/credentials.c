#include "daemon/credentials.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

/* Linux 6.5; younger than the headers of some systems. The same number on all of Linux but parisc and sparc. */
#if !defined(SO_PEERPIDFD) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERPIDFD 77
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
