#include "daemon/process/rendezvous.h"

#include "common/socket_path.h"
#include "daemon/log/complaint.h"
#include "daemon/process/eviction.h"
#include "daemon/process/handover_take.h"
#include "daemon/process/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERVICE_MANAGER_FIRST_FD = 3, /* sd_listen_fds(3) */
    BACKLOG = 511,
    DYING_MS = 1000, /* more than the system takes to close what a process had */
};

static const struct rendezvous nothing = {.lock_fd = -1, .listen_fd = -1, .predecessor = -1};

static int resolve_path(struct sockaddr_un *address, const char *wanted)
{
    char *path = socket_path(wanted, getenv);
    if (!path)
        return complain("cannot tell where the socket is: %s", strerror(errno));
    address->sun_family = AF_UNIX;
    size_t size = strlen(path) + 1;
    /* Room for ".lock" and ".log" is not needed here, but a name this long cannot be bound. */
    int r = size <= sizeof address->sun_path
                ? 0
                : complain("the socket path is longer than the %zu bytes that the system allows: %s",
                           sizeof address->sun_path - 1, path);
    if (r == 0)
        memcpy(address->sun_path, path, size);
    free(path);
    return r;
}

/* The directory must be such that no other user can put a socket of his own in the place of ours. */
static int check_directory(const char *socket_path)
{
    char copy[sizeof((struct sockaddr_un *)0)->sun_path];
    memcpy(copy, socket_path, strlen(socket_path) + 1);
    const char *directory = dirname(copy);

    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return complain("cannot make the directory %s: %s", directory, strerror(errno));
    struct stat status;
    if (lstat(directory, &status) < 0)
        return complain("cannot look at the directory %s: %s", directory, strerror(errno));
    bool trusted = status.st_uid == geteuid() || status.st_uid == 0;
    if (S_ISLNK(status.st_mode) && trusted && stat(directory, &status) < 0)
        return complain("cannot look at the directory %s: %s", directory, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return complain("%s is not a directory", directory);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return complain("the directory %s belongs to user %u, not to this one; choose another with --socket", directory,
                        (unsigned)status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) && !(status.st_mode & S_ISVTX))
        return complain("others may write to the directory %s; chmod 0700 it, or choose another with --socket",
                        directory);
    return 0;
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
            return complain("%s is there and is not a socket; remove it, or choose another path with --socket", path);
        if (status.st_uid == geteuid() && is_listened_to(&rendezvous->address)) {
            complain("somebody else listens at %s, perhaps a service manager", path);
            return RENDEZVOUS_TAKEN;
        }
        if (unlink(path) < 0)
            return complain("cannot remove the stale socket %s: %s", path, strerror(errno));
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return complain("cannot make a socket: %s", strerror(errno));
    mode_t mask = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)&rendezvous->address, sizeof rendezvous->address);
    int error = errno;
    umask(mask);
    if (bound < 0) {
        close(fd);
        return complain("cannot bind the socket %s: %s", path, strerror(error));
    }
    rendezvous->own.socket = file_id_at(path);
    if (rendezvous->own.socket.inode == 0) {
        error = errno;
        unlink(path);
        close(fd);
        return complain("cannot look at the socket %s: %s", path, strerror(error));
    }
    rendezvous->listen_fd = fd;
    return 0;
}

/* sd_listen_fds(3), without the library: LISTEN_PID is this process, LISTEN_FDS counts descriptors from 3 on. NULL:
 * none were passed. */
static const char *count_from_service_manager(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    return pid && count && atol(pid) == (long)getpid() && strcmp(count, "0") != 0 ? count : NULL;
}

static int take_over(struct rendezvous *rendezvous, const char *count)
{
    int fd = SERVICE_MANAGER_FIRST_FD;
    int listening = 0, type = 0;
    socklen_t size = sizeof listening, type_size = sizeof type;
    if (strcmp(count, "1") != 0)
        return complain("LISTEN_FDS is %s, but oched serves one socket; give each its own service", count);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return complain("the descriptor passed in LISTEN_FDS is not a listening socket");
    socklen_t length = sizeof rendezvous->address;
    if (getsockname(fd, (struct sockaddr *)&rendezvous->address, &length) < 0 ||
        rendezvous->address.sun_family != AF_UNIX)
        return complain("the socket passed in LISTEN_FDS is not a Unix-domain socket");
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 || type != SOCK_STREAM)
        return complain("the socket passed in LISTEN_FDS is not a stream socket; use ListenStream=, not "
                        "ListenSequentialPacket=");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return complain("cannot set up the socket passed in LISTEN_FDS: %s", strerror(errno));
    rendezvous->listen_fd = fd;
    return 0;
}

/* 0: the daemon that serves there offers all that it has. Or what handover_take_ask() says. */
static int inherit(struct rendezvous *rendezvous, const struct handover_key *key, struct handover_items *items)
{
    struct handover_take take;
    int r = handover_take_ask(&rendezvous->address, key, &take, items);
    if (r < 0)
        return r;
    rendezvous->predecessor = take.predecessor;
    rendezvous->listen_fd = take.door;
    rendezvous->lock_fd = take.lock;
    rendezvous->own.socket = take.socket;
    if (take.lock >= 0)
        rendezvous->own.lock = file_id_of(take.lock);
    return 0;
}

/* Another daemon has the lock; `asked` is what became of asking it to hand over, or 0. */
static int complain_of_holder(const char *path, int asked)
{
    char who[48] = "oched";
    pid_t pid = lock_file_holder(path);
    if (pid > 0)
        snprintf(who, sizeof who, "oched (process %d)", (int)pid);
    if (asked == -ETIMEDOUT)
        complain("another %s has the place at %s and does not answer; oched --replace=force ends it", who, path);
    else if (asked == -EACCES)
        complain("another %s serves %s, and hands over only to who can read %s.key", who, path, path);
    else if (file_id_at(path).inode == 0)
        complain("another %s has the lock of %s, whose socket is not there: it may be about to come or to leave", who,
                 path);
    else
        complain("another %s serves %s", who, path);
    return RENDEZVOUS_TAKEN;
}

static int take_lock(struct rendezvous *rendezvous, enum rendezvous_replace replace, int asked)
{
    const char *path = rendezvous->address.sun_path;
    int taken = lock_file_take(path, &rendezvous->lock_fd);
    if (taken == LOCK_FILE_TAKEN && replace == REPLACE_FORCE && asked == -ETIMEDOUT) {
        pid_t evicted = eviction_run(path);
        if (evicted < 0)
            return -1;
        rendezvous->evicted = evicted;
        taken = lock_file_take(path, &rendezvous->lock_fd);
    }
    if (taken == LOCK_FILE_TAKEN)
        return complain_of_holder(path, asked);
    if (taken == 0)
        rendezvous->own.lock = file_id_of(rendezvous->lock_fd);
    return taken;
}

/* The lock is ours: says so in the files that go with it. */
static void sign(const struct rendezvous *rendezvous, pid_t pid)
{
    lock_file_sign(rendezvous->lock_fd, pid);
    handover_key_write(&rendezvous->key, rendezvous->address.sun_path);
}

int rendezvous_open(struct rendezvous *rendezvous, const char *path, enum rendezvous_replace replace,
                    struct handover_items *items)
{
    *rendezvous = nothing;
    rendezvous->key = handover_key_make();
    struct handover_key key = handover_key_take();
    bool is_appointed = key.exists;
    int asked = 0;
    const char *passed = count_from_service_manager();
    if (passed)
        return take_over(rendezvous, passed);
    if (resolve_path(&rendezvous->address, path) < 0 || check_directory(rendezvous->address.sun_path) < 0)
        return -1;
    if (replace != REPLACE_NEVER) {
        if (!is_appointed)
            key = handover_key_read(rendezvous->address.sun_path);
        asked = inherit(rendezvous, &key, items);
        if (asked == 0)
            return 0;
        if (is_appointed)
            return complain("the daemon at %s that has started this one to succeed it does not hand over: %s",
                            rendezvous->address.sun_path, strerror(-asked));
    }
    int taken = take_lock(rendezvous, replace, asked);
    if (taken)
        return taken;
    taken = bind_here(rendezvous);
    if (taken) {
        rendezvous_close(rendezvous);
        return taken;
    }
    sign(rendezvous, getpid());
    return 0;
}

int rendezvous_listen(struct rendezvous *rendezvous)
{
    bool is_ours = rendezvous->own.socket.inode != 0 && rendezvous->predecessor < 0;
    if (is_ours && listen(rendezvous->listen_fd, BACKLOG) < 0)
        return complain("cannot listen on %s: %s", rendezvous->address.sun_path, strerror(errno));
    return 0;
}

/* The predecessor does not answer. Our copy of its lock is the same lock: once that is closed, a free one means that
 * the predecessor has died, and then nobody but us has what it had. */
static int inherit_of_the_dead(struct rendezvous *rendezvous)
{
    if (rendezvous->lock_fd < 0)
        return complain("the daemon that serves %s does not answer", rendezvous->address.sun_path);
    close(rendezvous->lock_fd);
    rendezvous->lock_fd = -1;
    return take_lock(rendezvous, REPLACE_NEVER, 0) == 0 ? 0 : -1;
}

int rendezvous_settle(struct rendezvous *rendezvous)
{
    if (rendezvous->predecessor < 0)
        return 0;
    struct handover_take take = {.predecessor = rendezvous->predecessor};
    int r = handover_take_confirm(&take);
    rendezvous->predecessor = -1;
    if (r == -EBUSY)
        r = complain("the daemon that serves %s has not handed over", rendezvous->address.sun_path);
    else if (r < 0)
        r = inherit_of_the_dead(rendezvous);
    if (r < 0)
        rendezvous_leave(rendezvous);
    else if (rendezvous->lock_fd >= 0)
        sign(rendezvous, getpid());
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
    if (rendezvous->predecessor < 0)
        rendezvous_remove(rendezvous->address.sun_path, &rendezvous->own);
    rendezvous_leave(rendezvous);
}

void rendezvous_remove(const char *socket_path, const struct rendezvous_files *own)
{
    char lock_path[LOCK_FILE_PATH_SIZE];
    lock_file_path(socket_path, lock_path);
    if (file_id_is_same(own->socket, file_id_at(socket_path)))
        unlink(socket_path);
    /* The lock goes last: once it is gone, the other files may be those of the next daemon. */
    if (file_id_is_same(own->lock, file_id_at(lock_path))) {
        handover_key_remove(socket_path);
        unlink(lock_path);
    }
}

bool rendezvous_is_in_place(const struct rendezvous *rendezvous)
{
    const char *path = rendezvous->address.sun_path;
    char lock_path[LOCK_FILE_PATH_SIZE];
    lock_file_path(path, lock_path);
    return !file_id_has_gone(rendezvous->own.lock, lock_path) && !file_id_has_gone(rendezvous->own.socket, path) &&
           (!rendezvous->key.exists || handover_key_is_written(path));
}

int rendezvous_renew(struct rendezvous *rendezvous, pid_t daemon)
{
    const char *path = rendezvous->address.sun_path;
    char lock_path[LOCK_FILE_PATH_SIZE];
    lock_file_path(path, lock_path);
    bool has_lock = !file_id_has_gone(rendezvous->own.lock, lock_path);
    bool has_socket = !file_id_has_gone(rendezvous->own.socket, path);
    rendezvous->lock_fd = rendezvous->listen_fd = -1;
    if (check_directory(path) < 0)
        return -1;
    if (has_lock) {
        if (!handover_key_is_written(path))
            handover_key_write(&rendezvous->key, path);
    } else {
        int taken = lock_file_take(path, &rendezvous->lock_fd);
        if (taken == LOCK_FILE_TAKEN) /* a daemon that finds our socket in use lets go of the lock again */
            return has_socket ? RENDEZVOUS_IN_PLACE : complain_of_holder(path, 0);
        if (taken < 0)
            return -1;
        rendezvous->own.lock = file_id_of(rendezvous->lock_fd);
        sign(rendezvous, daemon);
    }
    int taken = has_socket ? 0 : bind_here(rendezvous);
    if (taken && rendezvous->lock_fd >= 0) {
        const struct rendezvous_files made = {.lock = rendezvous->own.lock};
        rendezvous_remove(path, &made);
        close(rendezvous->lock_fd);
        rendezvous->lock_fd = -1;
    }
    if (taken == 0 && rendezvous->lock_fd < 0 && rendezvous->listen_fd < 0)
        return RENDEZVOUS_IN_PLACE;
    return taken;
}
