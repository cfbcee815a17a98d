#include "client/os/fresh_start.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    DESCRIPTORS = 524288,     /* what systemd gives everybody as the hard limit */
    TIMER_SLACK_NS = 50000,   /* that of process 1, see PR_SET_TIMERSLACK in prctl(2) */
    SCHEDULER_OTHER = 0,      /* SCHED_OTHER */
    PRIORITY_WHO_PROCESS = 1, /* ioprio_set(2), which has no header */
    MEMORY_POLICY_DEFAULT = 0,
    PROCESSORS = 65536, /* more than the kernel has been built for anywhere */
};

/* prlimit(2), with 64 bits for a limit in a 32-bit program, too. Here and below the kernel is called directly, for
 * libc's functions may be a sanitizer's, which does not know of this process. */
static long set_or_get(int resource, const struct rlimit64 *wanted, struct rlimit64 *before)
{
    return syscall(SYS_prlimit64, 0, resource, wanted, before);
}

/* Raises the soft limit, which is what counts, to `wanted`; the hard one stays in its way only where we may not raise
 * it. */
static void raise_limit(int resource, rlim64_t wanted)
{
    struct rlimit64 limit;
    if (set_or_get(resource, NULL, &limit) < 0)
        return;
    const struct rlimit64 raised = {
        .rlim_cur = limit.rlim_max > wanted ? limit.rlim_max : wanted,
        .rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted,
    };
    if (set_or_get(resource, &raised, NULL) == 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    set_or_get(resource, &limit, NULL);
}

/* Those that a program is given for its own sake. The stack's stays: a soft limit of "unlimited" changes where memory
 * is mapped. Those on core files and on the priority of real-time processes mean nothing to the daemon. */
static void raise_limits(void)
{
    static const int unlimited[] = {
        RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_AS, RLIMIT_RSS, RLIMIT_LOCKS, RLIMIT_RTTIME,
    };
    static const int up_to_hard[] = {RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE};
    for (unsigned i = 0; i < sizeof unlimited / sizeof unlimited[0]; i++)
        raise_limit(unlimited[i], RLIM64_INFINITY);
    for (unsigned i = 0; i < sizeof up_to_hard / sizeof up_to_hard[0]; i++)
        raise_limit(up_to_hard[i], 0);
    raise_limit(RLIMIT_NOFILE, DESCRIPTORS);
}

static void reset_scheduling(void)
{
    static const int no_priority = 0; /* of struct sched_param */
    unsigned char all[PROCESSORS / 8];
    syscall(SYS_sched_setscheduler, 0, SCHEDULER_OTHER, &no_priority);
    syscall(SYS_setpriority, PRIO_PROCESS, 0, 0);
    syscall(SYS_ioprio_set, PRIORITY_WHO_PROCESS, 0, 0);
    memset(all, 0xff, sizeof all);
    syscall(SYS_sched_setaffinity, 0, sizeof all, all); /* the kernel leaves out what the cpuset does not have */
    syscall(SYS_set_mempolicy, MEMORY_POLICY_DEFAULT, NULL, 0);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
}

/* proc(5): without CAP_SYS_RESOURCE the score cannot be set below the lowest one that somebody with it has set. So the
 * lowest possible one is looked for, from 0 on, and the score stays if it is better than that. */
static void reset_oom_score(void)
{
    static const char *const scores[] = {"0", "100", "200", "300", "400", "500", "600", "700", "800", "900"};
    char now[8] = {0};
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    long length = syscall(SYS_read, fd, now, sizeof now - 1);
    bool is_raised = length > 1 && now[0] != '-';
    for (unsigned i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        bool is_better = is_raised && ((size_t)length - 1 > strlen(scores[i]) || now[0] > scores[i][0]);
        if ((i > 0 && !is_better) || syscall(SYS_write, fd, scores[i], strlen(scores[i])) > 0)
            break;
    }
    syscall(SYS_close, fd);
}

void fresh_start(void)
{
    raise_limits();
    reset_scheduling();
    reset_oom_score();
    personality(PER_LINUX);
}
