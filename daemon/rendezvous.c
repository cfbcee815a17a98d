#include "daemon/rendezvous.h"

#include "daemon/succession.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERVICE_MANAGER_FIRST_FD = 3, /* sd_listen_fds(3) */
    BACKLOG = 511,
    DYING_MS = 1000, /* more than the system takes to close what a process had */
};

static const struct rendezvous nothing = {.lock_fd = -1, .listen_fd = -1, .predecessor = -1};

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("oched: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return -1;
}

static int resolve_path(struct sockaddr_un *address, const char *path)
{
    char buffer[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (!path || !*path)
        path = getenv("OCHE_SOCKET");
    if (!path || !*path) {
        if (runtime && *runtime == '/')
            snprintf(buffer, sizeof buffer, "%s/oche/oched.sock", runtime);
        else
            snprintf(buffer, sizeof buffer, "/tmp/oche-%u/oched.sock", (unsigned)geteuid());
        path = buffer;
    }
    /* In the background the daemon leaves the directory that it was started in. */
    char directory[PATH_MAX];
    if (*path != '/') {
        if (!getcwd(directory, sizeof directory))
            return refuse("cannot find out where %s is: %s", path, strerror(errno));
        if (snprintf(buffer, sizeof buffer, "%s/%s", directory, path) < (int)sizeof buffer)
            path = buffer;
    }
    address->sun_family = AF_UNIX;
    /* Room for ".lock" and ".log" is not needed here, but a name this long cannot be bound. */
    if (strlen(path) >= sizeof address->sun_path)
        return refuse("the socket path is longer than the %zu bytes that the system allows: %s",
                      sizeof address->sun_path - 1, path);
    memcpy(address->sun_path, path, strlen(path) + 1);
    return 0;
}

/* The directory must be such that no other user can put a socket of his own in the place of ours. */
static int check_directory(const char *socket_path)
{
    char copy[sizeof((struct sockaddr_un *)0)->sun_path];
    memcpy(copy, socket_path, strlen(socket_path) + 1);
    const char *directory = dirname(copy);

    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return refuse("cannot make the directory %s: %s", directory, strerror(errno));
    struct stat status;
    if (lstat(directory, &status) < 0)
        return refuse("cannot look at the directory %s: %s", directory, strerror(errno));
    bool trusted = status.st_uid == geteuid() || status.st_uid == 0;
    if (S_ISLNK(status.st_mode) && trusted && stat(directory, &status) < 0)
        return refuse("cannot look at the directory %s: %s", directory, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return refuse("%s is not a directory", directory);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return refuse("the directory %s belongs to user %u, not to this one; choose another with --socket", directory,
                      (unsigned)status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) && !(status.st_mode & S_ISVTX))
        return refuse("others may write to the directory %s; chmod 0700 it, or choose another with --socket",
                      directory);
    return 0;
}

/* A lock file may be removed by its last holder between our open and our flock: then we hold a lock that nobody else
 * will ever look at, and must try again. */
static bool is_still_there(int fd, const char *path)
{
    struct stat held, found;
    return fstat(fd, &held) == 0 && stat(path, &found) == 0 && held.st_ino == found.st_ino &&
           held.st_dev == found.st_dev;
}

/* In a directory like /tmp others can put a file there first: to hold it locked for ever, or, as another link to a file
 * of ours, to have us write to that. */
static bool is_lock_of_ours(int fd, const char *path)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        refuse("cannot look at the lock file %s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode) || status.st_nlink > 1)
        refuse("the lock file %s is no file of its own; remove it, or choose another path with --socket", path);
    else if (status.st_uid != geteuid())
        refuse("the lock file %s belongs to user %u, not to this one; choose another path with --socket", path,
               (unsigned)status.st_uid);
    else
        return true;
    return false;
}

static void lock_path_of(const struct rendezvous *rendezvous, char *out, size_t size)
{
    snprintf(out, size, "%s.lock", rendezvous->address.sun_path);
}

static int take_lock(struct rendezvous *rendezvous)
{
    char path[sizeof rendezvous->address.sun_path + 8];
    lock_path_of(rendezvous, path, sizeof path);
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return refuse("cannot open the lock file %s: %s", path, strerror(errno));
        if (!is_lock_of_ours(fd, path)) {
            close(fd);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int error = errno;
            char pid[32] = "";
            if (error == EWOULDBLOCK && pread(fd, pid, sizeof pid - 1, 0) > 0)
                pid[strcspn(pid, "\n")] = '\0';
            close(fd);
            if (error != EWOULDBLOCK)
                return refuse("cannot lock %s: %s", path, strerror(error));
            refuse("another oched%s%s%s serves %s", *pid ? " (process " : "", pid, *pid ? ")" : "",
                   rendezvous->address.sun_path);
            return RENDEZVOUS_TAKEN;
        }
        if (!is_still_there(fd, path)) {
            close(fd);
            continue;
        }
        rendezvous->lock_fd = fd;
        return 0;
    }
}

/* Tells the next daemon, which finds the lock held, by whom. */
static void sign_lock(const struct rendezvous *rendezvous)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(rendezvous->lock_fd, 0) < 0 || pwrite(rendezvous->lock_fd, text, (size_t)length, 0) < 0) {
        /* Only a courtesy. */
    }
}

/* True: there is somebody to connect to, or too many do, and the connection lasts so many milliseconds. */
static bool is_connected_to(const struct sockaddr_un *address, int duration)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool is = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    struct pollfd end = {.fd = fd, .events = POLLRDHUP};
    if (is && duration > 0 && poll(&end, 1, duration) > 0)
        is = false;
    close(fd);
    return is;
}

/* Nobody has the lock, and yet somebody may listen: a service manager, or its daemon. But one that is being killed may
 * have lost its lock before its socket: with that its connections end. Those who hang up on us, and are there the next
 * time, do listen. */
static bool is_listened_to(const struct sockaddr_un *address)
{
    return is_connected_to(address, DYING_MS) || is_connected_to(address, 0);
}

static int bind_here(struct rendezvous *rendezvous)
{
    const char *path = rendezvous->address.sun_path;
    struct stat status;
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode))
            return refuse("%s is there and is not a socket; remove it, or choose another path with --socket", path);
        if (status.st_uid == geteuid() && is_listened_to(&rendezvous->address)) {
            refuse("somebody else listens at %s, perhaps a service manager", path);
            return RENDEZVOUS_TAKEN;
        }
        if (unlink(path) < 0)
            return refuse("cannot remove the stale socket %s: %s", path, strerror(errno));
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return refuse("cannot make a socket: %s", strerror(errno));
    mode_t mask = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)&rendezvous->address, sizeof rendezvous->address);
    int error = errno;
    umask(mask);
    if (bound < 0) {
        close(fd);
        return refuse("cannot bind the socket %s: %s", path, strerror(error));
    }
    rendezvous->bound = true;
    rendezvous->listen_fd = fd;
    return 0;
}

/* sd_listen_fds(3), without the library: LISTEN_PID is this process, LISTEN_FDS counts descriptors from 3 on. */
static bool passed_by_service_manager(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    return pid && count && atol(pid) == (long)getpid() && strcmp(count, "1") == 0;
}

static int take_over(struct rendezvous *rendezvous)
{
    int fd = SERVICE_MANAGER_FIRST_FD;
    int listening = 0;
    socklen_t size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return refuse("the descriptor passed in LISTEN_FDS is not a listening socket");
    socklen_t length = sizeof rendezvous->address;
    if (getsockname(fd, (struct sockaddr *)&rendezvous->address, &length) < 0 ||
        rendezvous->address.sun_family != AF_UNIX)
        return refuse("the socket passed in LISTEN_FDS is not a Unix-domain socket");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return refuse("cannot set up the socket passed in LISTEN_FDS: %s", strerror(errno));
    rendezvous->listen_fd = fd;
    return 0;
}

/* True: the daemon that serves there offers all that it has. */
static bool inherit(struct rendezvous *rendezvous, struct estate *estate)
{
    struct succession succession;
    if (succession_ask(&rendezvous->address, &succession, estate) < 0)
        return false;
    rendezvous->predecessor = succession.predecessor;
    rendezvous->listen_fd = succession.door;
    rendezvous->lock_fd = succession.lock;
    rendezvous->bound = succession.bound;
    return true;
}

int rendezvous_open(struct rendezvous *rendezvous, const char *path, struct estate *estate)
{
    *rendezvous = nothing;
    if (passed_by_service_manager())
        return take_over(rendezvous);
    if (resolve_path(&rendezvous->address, path) < 0 || check_directory(rendezvous->address.sun_path) < 0)
        return -1;
    if (estate && inherit(rendezvous, estate))
        return 0;
    int taken = take_lock(rendezvous);
    if (taken)
        return taken;
    taken = bind_here(rendezvous);
    if (taken) {
        rendezvous_close(rendezvous);
        return taken;
    }
    sign_lock(rendezvous);
    return 0;
}

int rendezvous_listen(struct rendezvous *rendezvous)
{
    bool listens_already = !rendezvous->bound || rendezvous->predecessor >= 0;
    if (!listens_already && listen(rendezvous->listen_fd, BACKLOG) < 0)
        return refuse("cannot listen on %s: %s", rendezvous->address.sun_path, strerror(errno));
    return 0;
}

/* The predecessor does not answer. Our copy of its lock is the same lock: once that is closed, a free one means that
 * the predecessor has died, and then nobody but us has what it had. */
static int inherit_of_the_dead(struct rendezvous *rendezvous)
{
    if (rendezvous->lock_fd < 0)
        return refuse("the daemon that serves %s does not answer", rendezvous->address.sun_path);
    close(rendezvous->lock_fd);
    rendezvous->lock_fd = -1;
    return take_lock(rendezvous) == 0 ? 0 : -1;
}

int rendezvous_settle(struct rendezvous *rendezvous)
{
    if (rendezvous->predecessor < 0)
        return 0;
    struct succession succession = {.predecessor = rendezvous->predecessor};
    int r = succession_take(&succession);
    rendezvous->predecessor = -1;
    if (r == -EBUSY)
        r = refuse("the daemon that serves %s has not handed over", rendezvous->address.sun_path);
    else if (r < 0)
        r = inherit_of_the_dead(rendezvous);
    if (r < 0)
        rendezvous_leave(rendezvous);
    else if (rendezvous->lock_fd >= 0)
        sign_lock(rendezvous);
    return r;
}

void rendezvous_leave(struct rendezvous *rendezvous)
{
    const int descriptors[] = {rendezvous->listen_fd, rendezvous->lock_fd, rendezvous->predecessor};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    *rendezvous = nothing;
}

int rendezvous_take_listener(struct rendezvous *rendezvous)
{
    int fd = rendezvous->listen_fd;
    rendezvous->listen_fd = -1;
    return fd;
}

void rendezvous_close(struct rendezvous *rendezvous)
{
    char lock_path[sizeof rendezvous->address.sun_path + 8];
    lock_path_of(rendezvous, lock_path, sizeof lock_path);
    bool ours = rendezvous->predecessor < 0;
    if (ours && rendezvous->bound)
        unlink(rendezvous->address.sun_path);
    if (ours && rendezvous->lock_fd >= 0)
        unlink(lock_path);
    rendezvous_leave(rendezvous);
}
