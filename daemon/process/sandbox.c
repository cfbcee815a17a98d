#include "daemon/process/sandbox.h"

#include "daemon/log/errno_text.h"
#include "daemon/log/log.h"
#include "daemon/process/sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- capabilities ---- */

enum { CAPABILITY_WORDS = _LINUX_CAPABILITY_U32S_3 };

/* capget(2), capset(2): the C library has no wrapper, and these two calls do not warrant a library. */
static int get_capabilities(struct __user_cap_data_struct data[CAPABILITY_WORDS])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, data) == 0 ? 0 : -errno;
}

static int set_capabilities(const struct __user_cap_data_struct data[CAPABILITY_WORDS])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

/* What a program could have that this one starts, which it never does. Needs a capability itself, so it comes first;
 * who has none cannot hand one on either. */
static void empty_bounding_set(void)
{
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (capability != CAP_NET_BIND_SERVICE)
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

int sandbox_drop_capabilities(void)
{
    const uint32_t kept = UINT32_C(1) << CAP_NET_BIND_SERVICE; /* in the first word */
    struct __user_cap_data_struct data[CAPABILITY_WORDS];
    int r = get_capabilities(data);
    if (r < 0)
        return r;
    empty_bounding_set();
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; i < CAPABILITY_WORDS; i++) {
        data[i].permitted &= i == 0 ? kept : 0;
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return set_capabilities(data);
}

void sandbox_pass_on_capabilities(void)
{
    struct __user_cap_data_struct data[CAPABILITY_WORDS];
    if (get_capabilities(data) < 0)
        return;
    for (int i = 0; i < CAPABILITY_WORDS; i++)
        data[i].inheritable = data[i].permitted;
    if (set_capabilities(data) == 0 && data[0].permitted & UINT32_C(1) << CAP_NET_BIND_SERVICE)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

/* For the log: what the thread really has. */
static const char *capabilities_text(char out[32])
{
    struct __user_cap_data_struct data[CAPABILITY_WORDS];
    if (get_capabilities(data) < 0)
        return "unknown";
    uint64_t permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    if (permitted == 0)
        return "none";
    if (permitted == UINT64_C(1) << CAP_NET_BIND_SERVICE)
        return "net_bind_service";
    snprintf(out, 32, "0x%llx", (unsigned long long)permitted);
    return out;
}

/* ---- before there are threads ---- */

void sandbox_begin(struct sandbox *sandbox)
{
    static const struct rlimit none = {0, 0};
    *sandbox = (struct sandbox){0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        sandbox->no_new_privileges = errno;
    /* A core file would hold what all clients have sent and received. */
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        sandbox->core_files = errno;
    sandbox->capabilities = -sandbox_drop_capabilities();
}

void sandbox_leave_files(struct sandbox *sandbox, const char *socket_path, const char *log_path)
{
    const char *const paths[] = {*socket_path ? socket_path : NULL, log_path};
    sandbox->files = SANITIZED ? ENOTSUP : -sandbox_files_enter(paths, sizeof paths / sizeof paths[0]);
}

/* ---- the filter ---- */

#define CALL(name) SCMP_SYS(name)

/* Those that sessions make all the time come first, and are without conditions: for them the kernel (from 5.11 on)
 * remembers the answer and does not run the filter. What a system does not have, libseccomp leaves out. */
static const int hot[] = {
    CALL(recvfrom), CALL(sendmsg),      CALL(epoll_wait), CALL(epoll_pwait), CALL(read),       CALL(write),
    CALL(futex),    CALL(epoll_pwait2), CALL(epoll_ctl),  CALL(select),      CALL(_newselect), CALL(pselect6),
    CALL(close),    CALL(accept4),      CALL(connect),    CALL(preadv2),
};

static const int allowed[] = {
    /* sockets; socket(2) itself is below */
    CALL(recv),
    CALL(recvmsg),
    CALL(send),
    CALL(sendto),
    CALL(sendmmsg),
    CALL(accept),
    CALL(bind),
    CALL(listen),
    CALL(shutdown),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(poll),
    CALL(ppoll),
    CALL(readv),
    CALL(writev),
    CALL(pwritev2),
    /* bells, timers and shared memory */
    CALL(eventfd2),
    CALL(pipe2),
    CALL(memfd_create),
    CALL(ftruncate),
    CALL(ftruncate64),
    CALL(fallocate),
    CALL(timerfd_settime),
    CALL(timerfd_settime64),
    CALL(timerfd_create),
    /* malloc(3); mmap(2) and mprotect(2) are below */
    CALL(brk),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(getrandom),
    CALL(sched_getaffinity),
    CALL(sched_yield),
    /* threads: those that are just starting may have this to do yet, and all of them end */
    CALL(set_robust_list),
    CALL(rseq),
    CALL(futex_time64),
    CALL(exit),
    CALL(exit_group),
    /* signals; those of its own are below */
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigreturn),
    CALL(sigprocmask),
    CALL(restart_syscall),
    /* the time, where the vDSO has none */
    CALL(clock_gettime),
    CALL(clock_gettime64),
    CALL(gettimeofday),
    CALL(time),
    CALL(clock_nanosleep),
    CALL(clock_nanosleep_time64),
    CALL(nanosleep),
    CALL(pselect6_time64),
    CALL(ppoll_time64),
    /* who we are; fstat(2) */
    CALL(getpid),
    CALL(gettid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getuid32),
    CALL(geteuid32),
    CALL(fstat),
    CALL(fstat64),
};

/* The log, when it is full. */
static const int allowed_in_territory[] = {
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
};

/* Rings that are made already, which may do little (daemon/engine/backend_io_uring.c): no other one can be made. */
static const int allowed_with_rings[] = {
    CALL(io_uring_enter),
};

/* Calls that are allowed with some arguments only: argument `index`, masked, must be `value`. */
struct condition {
    int call;
    unsigned index;
    uint32_t mask;
    uint32_t value;
};

/* Calls that open files, with the indices of their arguments. */
struct opening {
    int call;
    unsigned flags;
    unsigned mode;
};

enum {
    /* daemon/log/log_output.c: to append to a file, and never through a symbolic link. So no file can be read. */
    LOG_FLAGS = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW,
    LOG_MODE = 0600, /* nothing that can be run */
    FREE_OPEN_FLAGS =
        O_CLOEXEC | O_NONBLOCK | O_NOCTTY | 00100000 /* O_LARGEFILE, which the headers define as 0 on 64-bit systems */,
};

static const struct opening openings[] = {
    {CALL(open), 1, 2},
    {CALL(openat), 2, 3},
};

static const struct condition conditions[] = {
    {CALL(socket), 0, UINT32_MAX, AF_INET},
    {CALL(socket), 0, UINT32_MAX, AF_INET6},
    {CALL(mmap), 2, PROT_EXEC, 0},
    {CALL(mmap2), 2, PROT_EXEC, 0},
    {CALL(mprotect), 2, PROT_EXEC, 0},
    {CALL(ioctl), 1, UINT32_MAX, FIONREAD},
    {CALL(ioctl), 1, UINT32_MAX, SIOCOUTQ},
    {CALL(fcntl), 1, UINT32_MAX, F_GETFL},
    {CALL(fcntl), 1, UINT32_MAX, F_SETFL},
    {CALL(fcntl), 1, UINT32_MAX, F_GETFD},
    {CALL(fcntl), 1, UINT32_MAX, F_SETFD},
    {CALL(fcntl), 1, UINT32_MAX, F_ADD_SEALS},
    {CALL(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC},
    {CALL(fcntl64), 1, UINT32_MAX, F_GETFL},
    {CALL(fcntl64), 1, UINT32_MAX, F_SETFL},
    {CALL(fcntl64), 1, UINT32_MAX, F_GETFD},
    {CALL(fcntl64), 1, UINT32_MAX, F_SETFD},
    {CALL(fcntl64), 1, UINT32_MAX, F_ADD_SEALS},
    {CALL(fcntl64), 1, UINT32_MAX, F_DUPFD_CLOEXEC},
};

static const struct condition enabling_ring = {CALL(io_uring_register), 1, UINT32_MAX, IORING_REGISTER_ENABLE_RINGS};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count, bool first)
{
    for (size_t i = 0; i < count; i++) {
        int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        if (r == 0 && first)
            r = seccomp_syscall_priority(filter, calls[i], UINT8_MAX);
        if (r < 0)
            return r;
    }
    return 0;
}

static int allow_on_condition(scmp_filter_ctx filter, const struct condition *condition)
{
    const struct scmp_arg_cmp compare = {
        .arg = condition->index,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = condition->mask,
        .datum_b = condition->value,
    };
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, condition->call, 1, &compare);
}

static int allow_log(scmp_filter_ctx filter, const struct opening *opening)
{
    const struct scmp_arg_cmp compare[] = {
        {opening->flags, SCMP_CMP_MASKED_EQ, ~(uint32_t)FREE_OPEN_FLAGS, LOG_FLAGS},
        {opening->mode, SCMP_CMP_MASKED_EQ, UINT32_MAX, LOG_MODE},
    };
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, opening->call, 2, compare);
}

static int fill(scmp_filter_ctx filter, bool in_territory, bool with_rings)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0) /* 32-bit calls of a 64-bit process, which there are none of */
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (r == 0)
        r = allow(filter, hot, sizeof hot / sizeof hot[0], true);
    if (r == 0)
        r = allow(filter, allowed, sizeof allowed / sizeof allowed[0], false);
    if (r == 0 && in_territory)
        r = allow(filter, allowed_in_territory, sizeof allowed_in_territory / sizeof allowed_in_territory[0], false);
    if (r == 0 && with_rings)
        r = allow(filter, allowed_with_rings, sizeof allowed_with_rings / sizeof allowed_with_rings[0], true);
    if (r == 0 && with_rings)
        r = allow_on_condition(filter, &enabling_ring);
    for (size_t i = 0; r == 0 && i < sizeof openings / sizeof openings[0]; i++)
        r = allow_log(filter, &openings[i]);
    for (size_t i = 0; r == 0 && i < sizeof conditions / sizeof conditions[0]; i++)
        r = allow_on_condition(filter, &conditions[i]);
    /* abort(3), for assertions: signals go nowhere else. */
    const struct condition to_itself = {CALL(tgkill), 0, UINT32_MAX, (uint32_t)getpid()};
    return r == 0 ? allow_on_condition(filter, &to_itself) : r;
}

int sandbox_filter(bool in_territory, bool with_rings)
{
    if (SANITIZED)
        return -ENOTSUP;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    int r = fill(filter, in_territory, with_rings);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

/* ---- what became of it ---- */

static const char *yes_or_no(bool is)
{
    return is ? "yes" : "no";
}

static void log_lack(const char *what, int error)
{
    if (error) /* a build with sanitizers lacks it on purpose */
        log_line(SANITIZED ? LOG_INFO : LOG_WARNING, "event=not-confined what=%s error=\"%s\" errno=%d", what,
                 errno_text(error), error);
}

void sandbox_finish(struct sandbox *sandbox, bool wanted, bool with_rings)
{
    char text[32];
    const char *capabilities = capabilities_text(text); /* behind the filter nobody can ask */
    if (wanted)
        sandbox->filter = -sandbox_filter(!sandbox->files, with_rings);
    log_lack("no-new-privileges", sandbox->no_new_privileges);
    log_lack("core-files", sandbox->core_files);
    log_lack("capabilities", sandbox->capabilities);
    log_lack("landlock", sandbox->files);
    log_lack("seccomp", sandbox->filter);
    log_line(LOG_INFO,
             "event=confined user=%u no-new-privileges=%s core-files=%s capabilities=%s landlock=%s seccomp=%s",
             (unsigned)geteuid(), yes_or_no(!sandbox->no_new_privileges), yes_or_no(sandbox->core_files), capabilities,
             yes_or_no(!sandbox->files), yes_or_no(wanted && !sandbox->filter));
}
