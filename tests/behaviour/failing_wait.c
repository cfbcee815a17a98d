/*
 * Preloaded into the daemon: from the moment on that the first byte of the file OCHE_TEST_FAILING_WAIT is not zero, the
 * main thread cannot wait for events any more. What is freed from then on is overwritten, so that who uses it all the
 * same crashes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static const volatile unsigned char *flag;
static void (*real_free)(void *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_select)(int, fd_set *, fd_set *, fd_set *, struct timeval *);

/* Converted without a cast: ISO C has none from an object's pointer to a function's. */
static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("OCHE_TEST_FAILING_WAIT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = fd >= 0 ? mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    flag = memory == MAP_FAILED ? NULL : memory;
    find(&real_free, "free");
    find(&real_epoll_wait, "epoll_wait");
    find(&real_select, "select");
}

static int is_set(void)
{
    return flag && *flag;
}

/* Before the C library's own was found, nothing is freed. */
PUBLIC void free(void *block)
{
    if (is_set() && block)
        memset(block, 0xa5, malloc_usable_size(block));
    else if (real_free)
        real_free(block);
}

static int fails(void)
{
    return is_set() && gettid() == getpid();
}

PUBLIC int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout)
{
    if (fails()) {
        errno = EINVAL;
        return -1;
    }
    return real_epoll_wait(epoll_fd, events, max, timeout);
}

PUBLIC int select(int count, fd_set *restrict to_read, fd_set *restrict to_write, fd_set *restrict exceptional,
                  struct timeval *restrict timeout)
{
    if (fails()) {
        errno = ENOMEM;
        return -1;
    }
    return real_select(count, to_read, to_write, exceptional, timeout);
}
