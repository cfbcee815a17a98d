/*
 * Preloaded into a process: calls that can fail are counted, and the one that the plan names fails.
 *
 * The calls of the side under torture are all of the process that runs oched, or those with a return address in
 * liboche.so, so that the test's own calls never fail. Everything else passes through, and so do the calls of
 * libseccomp (2.5.4), which does not look whether it has got the memory that it makes its filter in.
 */
#include "tests/torture/plan.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

static struct torture_plan *plan; /* NULL: this process has no part in it */

/* Code, from its first byte to the one behind its last. */
struct code {
    uintptr_t first, end;
};

static struct code counted; /* whose calls count */
static struct code spared;  /* … but not these */

/* ---- before the C library's functions have been found ---- */

static _Alignas(16) unsigned char early[64 * 1024];
static size_t early_used;

static void *early_malloc(size_t size)
{
    size_t at = early_used;
    early_used += (size + 15) / 16 * 16;
    return early_used <= sizeof early ? early + at : NULL;
}

static bool is_early(const void *block)
{
    return (const unsigned char *)block >= early && (const unsigned char *)block < early + sizeof early;
}

static bool finding;

/* Converted without a cast: ISO C has none from an object's pointer to a function's. */
static void find(void *function, const char *name)
{
    finding = true;
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
    finding = false;
}

/* The function behind ours, as `real`. */
#define REAL(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (!real)                                                                                                         \
    find(&real, #name)

/* ---- the plan ---- */

static bool is_called(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    return strncmp(file, name, strlen(name)) == 0;
}

static int find_library(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size, (void)argument;
    struct code *code = is_called(info->dlpi_name, "liboche.so")      ? &counted
                        : is_called(info->dlpi_name, "libseccomp.so") ? &spared
                                                                      : NULL;
    for (int i = 0; code && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            code->first = info->dlpi_addr + part->p_vaddr;
            code->end = code->first + part->p_memsz;
        }
    }
    return 0;
}

static bool runs_daemon(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    const char suffix[] = "/oched";
    return length >= (ssize_t)(sizeof suffix - 1) &&
           memcmp(path + length - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(TORTURE_PLAN_VARIABLE);
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return;
    dl_iterate_phdr(find_library, NULL);
    int side = ((const struct torture_plan *)memory)->side;
    if (side == TORTURE_DAEMON)
        counted = (struct code){.end = runs_daemon() ? UINTPTR_MAX : 0};
    if (counted.end)
        plan = memory;
}

static bool is_in(const void *caller, const struct code *code)
{
    return (uintptr_t)caller >= code->first && (uintptr_t)caller < code->end;
}

static bool is_ours(const void *caller)
{
    return plan && is_in(caller, &counted) && !is_in(caller, &spared);
}

/* For addr2line: the module, and where in it. */
static void note_caller(const void *caller)
{
    Dl_info info;
    if (dladdr(caller, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        snprintf(plan->caller, sizeof plan->caller, "%s+0x%lx", slash ? slash + 1 : info.dli_fname,
                 (unsigned long)((uintptr_t)caller - (uintptr_t)info.dli_fbase));
    }
}

/* Counts a call. True: this is the one that fails; errno is set. */
static bool fails(enum torture_function function, const void *caller)
{
    if (!is_ours(caller) || !__atomic_load_n(&plan->armed, __ATOMIC_RELAXED))
        return false;
    int count = __atomic_add_fetch(&plan->counts[function], 1, __ATOMIC_RELAXED);
    if ((int)function != plan->function || count != plan->nth)
        return false;
    note_caller(caller);
    __atomic_store_n(&plan->fired, 1, __ATOMIC_SEQ_CST);
    errno = plan->error;
    return true;
}

/* ---- memory ---- */

/* The blocks that the side has: a set of addresses. By these, not by who calls free(), as a compiler jumps there at the
 * end of a public function. */
static void *blocks[1 << 16];
static atomic_flag blocks_lock = ATOMIC_FLAG_INIT;

static size_t place_of(const void *block)
{
    return ((uintptr_t)block >> 4) * 2654435761U % (sizeof blocks / sizeof blocks[0]);
}

/* Finds `wanted` where `block` may be, and puts `instead` there. False: there is none. */
static bool replace(const void *block, const void *wanted, void *instead)
{
    enum { PROBES = 256 };
    bool found = false;
    while (atomic_flag_test_and_set(&blocks_lock)) {
    }
    size_t place = place_of(block);
    for (int i = 0; i < PROBES && !found; i++) {
        void **entry = &blocks[(place + (size_t)i) % (sizeof blocks / sizeof blocks[0])];
        found = *entry == wanted;
        if (found)
            *entry = instead;
    }
    atomic_flag_clear(&blocks_lock);
    return found;
}

static void *gained(void *block, const void *caller)
{
    if (block && is_ours(caller) && replace(block, NULL, block))
        __atomic_add_fetch(&plan->blocks, 1, __ATOMIC_RELAXED);
    return block;
}

static void lost(void *block)
{
    if (block && plan && replace(block, block, NULL))
        __atomic_sub_fetch(&plan->blocks, 1, __ATOMIC_RELAXED);
}

PUBLIC void *malloc(size_t size)
{
    if (finding)
        return early_malloc(size);
    REAL(void *, malloc, size_t);
    return fails(TORTURE_malloc, CALLER) ? NULL : gained(real(size), CALLER);
}

PUBLIC void *calloc(size_t count, size_t size)
{
    if (finding)
        return early_malloc(count * size); /* never used before, so all zero */
    REAL(void *, calloc, size_t, size_t);
    return fails(TORTURE_calloc, CALLER) ? NULL : gained(real(count, size), CALLER);
}

PUBLIC void *realloc(void *block, size_t size)
{
    REAL(void *, realloc, void *, size_t);
    if (is_early(block)) {
        void *moved = malloc(size);
        size_t most = (size_t)(early + sizeof early - (unsigned char *)block);
        return moved ? memcpy(moved, block, size < most ? size : most) : NULL;
    }
    if (fails(TORTURE_realloc, CALLER))
        return NULL;
    lost(block);
    void *moved = real(block, size);
    gained(moved ? moved : block, CALLER);
    return moved;
}

PUBLIC void free(void *block)
{
    REAL(void, free, void *);
    if (!block || is_early(block))
        return;
    lost(block);
    real(block);
}

/* In the daemon the C library's own malloc() call is seen; in the client it is not liboche's. */
static bool counts_itself(const void *caller)
{
    return is_ours(caller) && plan->side == TORTURE_CLIENT;
}

PUBLIC char *strdup(const char *text)
{
    REAL(char *, strdup, const char *);
    if (!counts_itself(CALLER))
        return real(text);
    return fails(TORTURE_strdup, CALLER) ? NULL : gained(real(text), CALLER);
}

PUBLIC int __asprintf_chk(char **text, int flag, const char *format, ...);
PUBLIC int __asprintf_chk(char **text, int flag, const char *format, ...)
{
    (void)flag;
    bool counts = counts_itself(CALLER);
    if (counts && fails(TORTURE_asprintf, CALLER))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(text, format, arguments);
    va_end(arguments);
    if (length >= 0 && counts)
        gained(*text, CALLER);
    return length;
}

PUBLIC char *getcwd(char *buffer, size_t size)
{
    REAL(char *, getcwd, char *, size_t);
    if (!counts_itself(CALLER) || buffer)
        return real(buffer, size);
    return fails(TORTURE_getcwd, CALLER) ? NULL : gained(real(buffer, size), CALLER);
}

PUBLIC char *realpath(const char *path, char *resolved)
{
    REAL(char *, realpath, const char *, char *);
    if (!counts_itself(CALLER) || resolved)
        return real(path, resolved);
    return fails(TORTURE_realpath, CALLER) ? NULL : gained(real(path, resolved), CALLER);
}

/* ---- everything else ---- */

/* A function of which each call counts: what it returns when it fails, and its name as the plan has it. */
#define WRAP(result, failure, function, name, parameters, arguments, ...)                                              \
    PUBLIC result name parameters                                                                                      \
    {                                                                                                                  \
        REAL(result, name, __VA_ARGS__);                                                                               \
        return fails(TORTURE_##function, CALLER) ? (failure) : real arguments;                                         \
    }

WRAP(void *, MAP_FAILED, mmap, mmap, (void *address, size_t length, int protection, int flags, int fd, off_t offset),
     (address, length, protection, flags, fd, offset), void *, size_t, int, int, int, off_t)
WRAP(void *, MAP_FAILED, mmap, mmap64,
     (void *address, size_t length, int protection, int flags, int fd, off64_t offset),
     (address, length, protection, flags, fd, offset), void *, size_t, int, int, int, off64_t)
WRAP(int, -1, madvise, madvise, (void *address, size_t length, int advice), (address, length, advice), void *, size_t,
     int)
WRAP(int, -1, memfd_create, memfd_create, (const char *name, unsigned flags), (name, flags), const char *, unsigned)
WRAP(int, -1, ftruncate, ftruncate, (int fd, off_t length), (fd, length), int, off_t)
WRAP(int, -1, fallocate, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length), int,
     int, off_t, off_t)
WRAP(ssize_t, -1, pread, pread, (int fd, void *out, size_t size, off_t offset), (fd, out, size, offset), int, void *,
     size_t, off_t)
WRAP(ssize_t, -1, pread, pread64, (int fd, void *out, size_t size, off64_t offset), (fd, out, size, offset), int,
     void *, size_t, off64_t)
WRAP(int, -1, lstat, lstat, (const char *path, struct stat *status), (path, status), const char *, struct stat *)
WRAP(int, -1, lstat, lstat64, (const char *path, struct stat64 *status), (path, status), const char *, struct stat64 *)
WRAP(int, -1, fstat, fstat, (int fd, struct stat *status), (fd, status), int, struct stat *)
WRAP(int, -1, fstat, fstat64, (int fd, struct stat64 *status), (fd, status), int, struct stat64 *)
WRAP(int, -1, flock, flock, (int fd, int operation), (fd, operation), int, int)
WRAP(int, -1, unlink, unlink, (const char *path), (path), const char *)
WRAP(int, -1, pipe2, pipe2, (int ends[2], int flags), (ends, flags), int[2], int)
WRAP(int, -1, eventfd, eventfd, (unsigned count, int flags), (count, flags), unsigned, int)
WRAP(int, -1, timerfd_create, timerfd_create, (int clock, int flags), (clock, flags), int, int)
WRAP(int, -1, epoll_create1, epoll_create1, (int flags), (flags), int)
WRAP(int, -1, epoll_wait, epoll_wait, (int fd, struct epoll_event *events, int most, int timeout),
     (fd, events, most, timeout), int, struct epoll_event *, int, int)
WRAP(int, -1, select, select, (int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout),
     (count, reads, writes, others, timeout), int, fd_set *, fd_set *, fd_set *, struct timeval *)
WRAP(int, -1, poll, poll, (struct pollfd * polled, nfds_t count, int timeout), (polled, count, timeout),
     struct pollfd *, nfds_t, int)
PUBLIC int __poll_chk(struct pollfd *polled, nfds_t count, int timeout, size_t size);
WRAP(int, -1, poll, __poll_chk, (struct pollfd * polled, nfds_t count, int timeout, size_t size),
     (polled, count, timeout, size), struct pollfd *, nfds_t, int, size_t)
WRAP(ssize_t, -1, preadv2, preadv2, (int fd, const struct iovec *parts, int count, off_t offset, int flags),
     (fd, parts, count, offset, flags), int, const struct iovec *, int, off_t, int)
WRAP(int, -1, socket, socket, (int domain, int type, int protocol), (domain, type, protocol), int, int, int)
WRAP(int, -1, socketpair, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends),
     int, int, int, int[2])
WRAP(int, -1, bind, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length), int,
     __CONST_SOCKADDR_ARG, socklen_t)
WRAP(int, -1, listen, listen, (int fd, int backlog), (fd, backlog), int, int)
WRAP(int, -1, accept4, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags),
     (fd, address, length, flags), int, __SOCKADDR_ARG, socklen_t *, int)
WRAP(int, -1, connect, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length), int,
     __CONST_SOCKADDR_ARG, socklen_t)
WRAP(ssize_t, -1, recv, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags), int, void *,
     size_t, int)
WRAP(ssize_t, -1, recvmsg, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), int,
     struct msghdr *, int)
WRAP(ssize_t, -1, send, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags), int,
     const void *, size_t, int)
WRAP(ssize_t, -1, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), int,
     const struct msghdr *, int)
WRAP(int, -1, shutdown, shutdown, (int fd, int how), (fd, how), int, int)
WRAP(int, -1, getsockopt, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size), int, int, int, void *, socklen_t *)
WRAP(int, -1, setsockopt, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size), int, int, int, const void *, socklen_t)
WRAP(int, -1, getsockname, getsockname, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length), int,
     __SOCKADDR_ARG, socklen_t *)
WRAP(int, -1, getpeername, getpeername, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length), int,
     __SOCKADDR_ARG, socklen_t *)
WRAP(int, plan->error, pthread_create, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument),
     (thread, attributes, run, argument), pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
WRAP(pid_t, -1, fork, fork, (void), (), void)
WRAP(int, -1, execve, execve, (const char *path, char *const argv[], char *const envp[]), (path, argv, envp),
     const char *, char *const[], char *const[])
WRAP(int, -1, dup2, dup2, (int from, int to), (from, to), int, int)
WRAP(int, -1, chdir, chdir, (const char *path), (path), const char *)
WRAP(pid_t, -1, waitpid, waitpid, (pid_t pid, int *status, int options), (pid, status, options), pid_t, int *, int)

/* Reading and writing what may block, a file or a pipe. Nobody is interrupted where nothing blocks, and a bell (an
 * eventfd is no file, pipe or socket) that has room takes a write. */
static bool may_fail(int fd)
{
    struct stat status;
    return plan && syscall(SYS_fstat, fd, &status) == 0 && (status.st_mode & S_IFMT) != 0 &&
           !(syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK);
}

PUBLIC ssize_t read(int fd, void *data, size_t size)
{
    REAL(ssize_t, read, int, void *, size_t);
    return may_fail(fd) && fails(TORTURE_read, CALLER) ? -1 : real(fd, data, size);
}

PUBLIC ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    return may_fail(fd) && fails(TORTURE_write, CALLER) ? -1 : real(fd, data, size);
}

/* What changes or leaves a set cannot fail: epoll_ctl(2). */
PUBLIC int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
    if (operation == EPOLL_CTL_ADD && fails(TORTURE_epoll_ctl_add, CALLER))
        return -1;
    return real(set, operation, fd, event);
}

static bool open_fails(const void *caller)
{
    return fails(TORTURE_open, caller);
}

PUBLIC int open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return open_fails(CALLER) ? -1 : real(path, flags, mode);
}

static bool fcntl_fails(int command, const void *caller)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return fails(TORTURE_fcntl_dup, caller);
    case F_ADD_SEALS:
        return fails(TORTURE_fcntl_seal, caller);
    default:
        return false;
    }
}

PUBLIC int fcntl(int fd, int command, ...)
{
    REAL(int, fcntl, int, int, ...);
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl_fails(command, CALLER) ? -1 : real(fd, command, argument);
}

PUBLIC int fcntl64(int fd, int command, ...)
{
    REAL(int, fcntl64, int, int, ...);
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl_fails(command, CALLER) ? -1 : real(fd, command, argument);
}

PUBLIC long syscall(long number, ...)
{
    REAL(long, syscall, long, ...);
    va_list arguments;
    long values[6];
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        values[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_clone && fails(TORTURE_clone, CALLER))
        return -1;
    return real(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}
