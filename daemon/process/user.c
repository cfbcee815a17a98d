#include "daemon/process/user.h"

#include "daemon/process/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

/* By name, else by number; a number need not be in the list of users, then its group has the same. */
static int look_up(const char *user, uid_t *uid, gid_t *gid)
{
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry) {
        char *end;
        errno = 0;
        unsigned long number = strtoul(user, &end, 10);
        /* The last one means "none" to setresuid(2). */
        if (errno || user[0] < '0' || user[0] > '9' || *end || number >= UINT32_MAX)
            return -1;
        *uid = (uid_t)number;
        *gid = (gid_t)number;
        entry = getpwuid(*uid);
    }
    if (entry) {
        *uid = entry->pw_uid;
        *gid = entry->pw_gid;
    }
    return 0;
}

static int change(uid_t uid, gid_t gid)
{
    /* capabilities(7): else the change of user takes all of them. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return -errno;
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return sandbox_drop_capabilities();
}

int user_become(const char *user)
{
    uid_t uid;
    gid_t gid;
    if (look_up(user, &uid, &gid) < 0) {
        fprintf(stderr, "oched: --user: there is no user '%s'\n", user);
        return -1;
    }
    if (uid == getuid() && uid == geteuid())
        return 0;
    int r = change(uid, gid);
    if (r < 0) {
        fprintf(stderr, "oched: --user: cannot become '%s': %s\n", user, strerror(-r));
        return -1;
    }
    unsetenv("XDG_RUNTIME_DIR");
    return 0;
}
