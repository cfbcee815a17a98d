#include "daemon/log/log_output.h"

#include "daemon/log/errno_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MODE = 0600, NO_STREAM = -1 };

/* How a line is written without waiting. */
enum way {
    WAY_PLAIN,  /* write(2): a regular file, or an open file of our own that does not block */
    WAY_SOCKET, /* send(2) can be told so for each call */
    WAY_SHARED, /* others have the same open file: see write_shared() */
};

static struct output {
    int fd;
    bool owned; /* opened here, and to be closed here */
    enum way way;
    int stream;    /* the standard stream, or NO_STREAM */
    char *path;    /* of a regular file, or NULL */
    bool is_ours;  /* the file must be this user's own */
    uint64_t size; /* of the file, as far as this process knows */
    bool torn;     /* only a part of the last line could be written */
} output = {.fd = STDERR_FILENO, .stream = STDERR_FILENO};

static uint64_t size_limit;

/* ---- opening ---- */

/* fstat(2). The C library's fstat() is newfstatat(2), which would look at any path, so that the filter of
 * daemon/process/sandbox.c denies it. */
static int look_at(int fd, struct stat *status)
{
    return (int)syscall(SYS_fstat, fd, status);
}

static uint64_t size_of(int fd)
{
    struct stat status;
    return look_at(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void use(int fd, bool owned, enum way way)
{
    if (output.owned)
        close(output.fd);
    output.fd = fd;
    output.owned = owned;
    output.way = way;
    output.size = size_of(fd);
    output.torn = false;
}

static void set_path(char *path, bool is_ours)
{
    free(output.path);
    output.path = path;
    output.is_ours = is_ours;
}

static enum way way_to_share(int stream)
{
    struct stat status;
    if (look_at(stream, &status) < 0 || S_ISREG(status.st_mode))
        return WAY_PLAIN;
    return S_ISSOCK(status.st_mode) ? WAY_SOCKET : WAY_SHARED;
}

void log_output_stream(int stream)
{
    char path[32];
    enum way way = way_to_share(stream);
    snprintf(path, sizeof path, "/proc/self/fd/%d", stream);
    int own = way == WAY_SHARED ? open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (own >= 0)
        use(own, true, WAY_PLAIN);
    else
        use(stream, false, way);
    output.stream = stream;
    set_path(NULL, false);
}

static const char *objection_to(int fd, bool is_ours)
{
    struct stat status;
    if (look_at(fd, &status) < 0)
        return errno_text(errno);
    if (!S_ISREG(status.st_mode))
        return "it is no regular file";
    if (is_ours && status.st_uid != geteuid())
        return "it belongs to another user";
    if (is_ours && status.st_nlink != 1)
        return "it is no file of its own, but has other names";
    return NULL;
}

/* The flags are those that the filter of daemon/process/sandbox.c lets pass. O_NONBLOCK is for a FIFO that somebody has
 * put there, which is not waited for and then refused. */
static const char *open_file(const char *path, bool is_ours, int *fd)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, MODE);
    if (*fd < 0)
        return errno == ELOOP ? "it is a symbolic link" : errno == ENXIO ? "it is no regular file" : errno_text(errno);
    const char *objection = objection_to(*fd, is_ours);
    if (objection)
        close(*fd);
    return objection;
}

const char *log_output_file(const char *path)
{
    int fd = -1;
    char *copy = strdup(path);
    const char *wrong = copy ? open_file(copy, true, &fd) : errno_text(ENOMEM);
    if (wrong) {
        free(copy);
        return wrong;
    }
    use(fd, true, WAY_PLAIN);
    output.stream = NO_STREAM;
    set_path(copy, true);
    return NULL;
}

const char *log_output_named(const char *path)
{
    /* By name, for a socket cannot be opened, and a redirected file is not ours to rename. */
    if (strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0) {
        log_output_stream(strcmp(path, "/dev/stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO);
        return NULL;
    }
    /* With an end to read from, too, a FIFO can be opened before it has a reader, and does not break when that goes. */
    struct stat status;
    int access = stat(path, &status) == 0 && S_ISFIFO(status.st_mode) ? O_RDWR : O_WRONLY;
    int fd = open(path, access | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, MODE);
    if (fd < 0)
        return errno_text(errno);
    char *real = NULL;
    bool is_file = look_at(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (is_file && !(real = realpath(path, NULL))) {
        int error = errno;
        close(fd);
        return errno_text(error);
    }
    use(fd, true, WAY_PLAIN);
    output.stream = NO_STREAM;
    set_path(real, false);
    return NULL;
}

void log_output_limit(uint64_t size)
{
    size_limit = size;
}

const char *log_output_path(void)
{
    return output.path;
}

int log_output_descriptor(void)
{
    return output.fd;
}

bool log_output_uses(int stream)
{
    return output.stream == stream;
}

void log_output_release(void)
{
    int stream = output.stream == NO_STREAM ? STDERR_FILENO : output.stream;
    use(stream, false, way_to_share(stream));
}

const char *log_output_reopen(void)
{
    int fd;
    const char *wrong = output.path ? open_file(output.path, output.is_ours, &fd) : NULL;
    if (output.path && !wrong)
        use(fd, true, WAY_PLAIN);
    return wrong;
}

/* ---- writing ---- */

/* Since Linux 6.4 the kernel can be told for each call not to wait for room in a pipe. Before, and for a terminal:
 * there was room a moment ago, and only others who write to the same open file can have taken it. */
static ssize_t write_shared(const char *bytes, size_t length)
{
    const struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    struct pollfd room = {.fd = output.fd, .events = POLLOUT};
    ssize_t written = pwritev2(output.fd, &vector, 1, -1, RWF_NOWAIT);
    if (written >= 0 || errno != EOPNOTSUPP)
        return written;
    if (poll(&room, 1, 0) > 0)
        return write(output.fd, bytes, length);
    errno = EAGAIN;
    return -1;
}

static ssize_t write_once(const char *bytes, size_t length)
{
    switch (output.way) {
    case WAY_SOCKET:
        return send(output.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_SHARED:
        return write_shared(bytes, length);
    default:
        return write(output.fd, bytes, length);
    }
}

/* 0 or -errno; a part of the line is -EIO. */
static int write_bytes(const char *bytes, size_t length)
{
    ssize_t written;
    do
        written = write_once(bytes, length);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return -errno;
    output.size += (uint64_t)written;
    if ((size_t)written == length)
        return 0;
    output.torn = output.torn || written > 0;
    return -EIO;
}

static int write_line(const char *line, size_t length)
{
    int r = output.torn ? write_bytes("\n", 1) : 0;
    if (r < 0)
        return r;
    output.torn = false;
    return write_bytes(line, length);
}

static bool is_same_file(int one, int other)
{
    struct stat first, second;
    return look_at(one, &first) == 0 && look_at(other, &second) == 0 && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

/* Whoever else writes to the same log (a predecessor, a service that rotates logs) may have renamed it already: then
 * there is another file at the path, and that is taken as it is. */
static void begin_anew(void)
{
    char predecessor[PATH_MAX];
    int fd;
    output.size = 0; /* when it fails, there is time until the next attempt */
    if (open_file(output.path, output.is_ours, &fd))
        return;
    if (is_same_file(fd, output.fd)) {
        int length = snprintf(predecessor, sizeof predecessor, "%s.1", output.path);
        if (length < (int)sizeof predecessor && rename(output.path, predecessor) == 0) {
            close(fd);
            if (open_file(output.path, output.is_ours, &fd))
                return;
        } else if (ftruncate(fd, 0) < 0) {
            close(fd);
            return;
        }
    }
    use(fd, true, WAY_PLAIN);
}

bool log_output_write(const char *line, size_t length)
{
    bool bounded = output.path && size_limit;
    if (bounded && output.size > 0 && output.size + length > size_limit)
        begin_anew();
    int r = write_line(line, length);
    if (r == -EFBIG && bounded && size_of(output.fd) >= LOG_OUTPUT_LEAST) {
        begin_anew();
        r = write_line(line, length);
    }
    return r == 0;
}
