/*
 * The calls that torture lets fail, each with the errors that it can have for no fault of its caller's. EINTR and
 * EAGAIN only where they can come: an eventfd that does not block is not interrupted, and one that has room takes a
 * write.
 */
#ifndef OCHE_TESTS_TORTURE_FUNCTIONS_H
#define OCHE_TESTS_TORTURE_FUNCTIONS_H

#include <errno.h>

#define TORTURE_ERRORS(...)                                                                                            \
    {                                                                                                                  \
        __VA_ARGS__, 0                                                                                                 \
    }

/* F(name, errors). Those that say `add`, `dup`, `seal` or `clone` are one use of epoll_ctl(), fcntl() and syscall(). */
#define TORTURE_FUNCTIONS(F)                                                                                           \
    F(malloc, TORTURE_ERRORS(ENOMEM))                                                                                  \
    F(calloc, TORTURE_ERRORS(ENOMEM))                                                                                  \
    F(realloc, TORTURE_ERRORS(ENOMEM))                                                                                 \
    F(strdup, TORTURE_ERRORS(ENOMEM))                                                                                  \
    F(asprintf, TORTURE_ERRORS(ENOMEM))                                                                                \
    F(getcwd, TORTURE_ERRORS(ENOMEM, ENOENT))                                                                          \
    F(realpath, TORTURE_ERRORS(ENOMEM, EACCES))                                                                        \
    F(mmap, TORTURE_ERRORS(ENOMEM))                                                                                    \
    F(madvise, TORTURE_ERRORS(ENOMEM, EFAULT, EAGAIN))                                                                 \
    F(memfd_create, TORTURE_ERRORS(EMFILE, ENFILE, ENOMEM))                                                            \
    F(ftruncate, TORTURE_ERRORS(ENOSPC, EINTR))                                                                        \
    F(fallocate, TORTURE_ERRORS(ENOSPC, ENOMEM, EINTR))                                                                \
    F(fcntl_dup, TORTURE_ERRORS(EMFILE))                                                                               \
    F(fcntl_seal, TORTURE_ERRORS(EPERM))                                                                               \
    F(open, TORTURE_ERRORS(EMFILE, ENFILE, EACCES, ENOSPC))                                                            \
    F(lstat, TORTURE_ERRORS(EACCES, ENOMEM))                                                                           \
    F(fstat, TORTURE_ERRORS(ENOMEM))                                                                                   \
    F(flock, TORTURE_ERRORS(ENOLCK))                                                                                   \
    F(unlink, TORTURE_ERRORS(EACCES))                                                                                  \
    F(read, TORTURE_ERRORS(EINTR, EIO))                                                                                \
    F(write, TORTURE_ERRORS(EINTR, EIO, ENOSPC))                                                                       \
    F(pipe2, TORTURE_ERRORS(EMFILE, ENFILE))                                                                           \
    F(eventfd, TORTURE_ERRORS(EMFILE, ENFILE, ENOMEM))                                                                 \
    F(timerfd_create, TORTURE_ERRORS(EMFILE, ENFILE, ENOMEM))                                                          \
    F(epoll_create1, TORTURE_ERRORS(EMFILE, ENFILE, ENOMEM))                                                           \
    F(epoll_ctl_add, TORTURE_ERRORS(ENOMEM, ENOSPC))                                                                   \
    F(epoll_wait, TORTURE_ERRORS(EINTR, EINVAL))                                                                       \
    F(select, TORTURE_ERRORS(EINTR, ENOMEM))                                                                           \
    F(poll, TORTURE_ERRORS(EINTR, ENOMEM))                                                                             \
    F(pread, TORTURE_ERRORS(EINTR, ENOMEM))                                                                            \
    F(preadv2, TORTURE_ERRORS(EAGAIN))                                                                                 \
    F(socket, TORTURE_ERRORS(EMFILE, ENFILE, ENOBUFS, EACCES))                                                         \
    F(socketpair, TORTURE_ERRORS(EMFILE, ENFILE))                                                                      \
    F(bind, TORTURE_ERRORS(EADDRINUSE, EACCES, ENOMEM))                                                                \
    F(listen, TORTURE_ERRORS(EADDRINUSE))                                                                              \
    F(accept4, TORTURE_ERRORS(EMFILE, ENFILE, ENOBUFS, ECONNABORTED, EINTR, EAGAIN))                                   \
    F(connect, TORTURE_ERRORS(ECONNREFUSED, EINTR, EAGAIN, ENETUNREACH, ETIMEDOUT))                                    \
    F(recv, TORTURE_ERRORS(ECONNRESET, EINTR, EAGAIN, ENOMEM))                                                         \
    F(recvmsg, TORTURE_ERRORS(ECONNRESET, EINTR, EAGAIN, ENOMEM))                                                      \
    F(send, TORTURE_ERRORS(ECONNRESET, EPIPE, EINTR, EAGAIN, ENOBUFS))                                                 \
    F(sendmsg, TORTURE_ERRORS(ECONNRESET, EPIPE, EINTR, EAGAIN, ENOBUFS))                                              \
    F(shutdown, TORTURE_ERRORS(ENOTCONN))                                                                              \
    F(getsockopt, TORTURE_ERRORS(ENOBUFS))                                                                             \
    F(setsockopt, TORTURE_ERRORS(ENOMEM))                                                                              \
    F(getsockname, TORTURE_ERRORS(ENOBUFS))                                                                            \
    F(getpeername, TORTURE_ERRORS(ENOBUFS, ENOTCONN))                                                                  \
    F(pthread_create, TORTURE_ERRORS(EAGAIN))                                                                          \
    F(fork, TORTURE_ERRORS(EAGAIN, ENOMEM))                                                                            \
    F(clone, TORTURE_ERRORS(EAGAIN, ENOMEM))                                                                           \
    F(execve, TORTURE_ERRORS(ENOMEM, EACCES))                                                                          \
    F(dup2, TORTURE_ERRORS(EINTR))                                                                                     \
    F(chdir, TORTURE_ERRORS(EACCES))                                                                                   \
    F(waitpid, TORTURE_ERRORS(EINTR))

enum torture_function {
#define TORTURE_NAME(name, errors) TORTURE_##name,
    TORTURE_FUNCTIONS(TORTURE_NAME)
#undef TORTURE_NAME
        TORTURE_FUNCTION_COUNT
};

enum { TORTURE_ERRORS_MOST = 8 };

#endif
