#include "daemon/process/sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* newer than the headers of some systems */
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

enum { VERSION_WITH_TRUNCATE = 3 };

/* All that the first version knows. What it does not, like renaming to other directories, is denied or not according
 * to the system. */
static const uint64_t governed =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM;

/* The log is made anew, the lock of a predecessor that has died is taken, and the key is written. Without a filter the
 * daemon removes its files, too. */
static const uint64_t in_directory = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
                                     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                     LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t in_null = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE;

/* The C library has no wrappers. */
static int create_ruleset(const struct landlock_ruleset_attr *attributes, size_t size, uint32_t flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}

static int allow_beneath(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return -errno;
    int r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
    close(rule.parent_fd);
    return r;
}

static int allow_directory_of(int ruleset, const char *path, uint64_t access)
{
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    int r = allow_beneath(ruleset, dirname(copy), access);
    free(copy);
    return r;
}

static int fill_and_enter(int ruleset, const char *const *paths, size_t count, uint64_t known)
{
    int r = allow_beneath(ruleset, "/dev/null", in_null & known);
    if (r == -ENOENT) /* nobody needs it, and some containers have none */
        r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (paths[i])
            r = allow_directory_of(ruleset, paths[i], in_directory & known);
    }
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    return r;
}

int sandbox_files_enter(const char *const *paths, size_t count)
{
    int version = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0)
        return -errno;
    uint64_t known = governed | (version >= VERSION_WITH_TRUNCATE ? LANDLOCK_ACCESS_FS_TRUNCATE : 0);
    struct landlock_ruleset_attr attributes = {.handled_access_fs = known};
    int ruleset = create_ruleset(&attributes, sizeof attributes, 0);
    if (ruleset < 0)
        return -errno;
    int r = fill_and_enter(ruleset, paths, count, known);
    close(ruleset);
    return r;
}
