/* Or a 32-bit stat() fails on files whose inode number takes more than 32 bits. */
#define _FILE_OFFSET_BITS 64

#include "common/socket_path.h"

#include "common/absolute_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NETWORK_SIZE = 24 /* "-", a number and the end */ };

/* The kernel registers most of net/core for the first namespace alone (net_core_table in net/core/sysctl_net_core.c),
 * but somaxconn for each. Where even that is missing, as in a /proc with subset=pid, nothing is known. */
static bool is_first_network(void)
{
    if (access("/proc/sys/net/core/somaxconn", F_OK) < 0)
        return true;
    return access("/proc/sys/net/core/dev_weight", F_OK) == 0 || errno != ENOENT;
}

/* "-N" for a namespace that is not the first, else "". It is the namespace of the calling thread: other threads of the
 * program may be in others. */
static void name_network(char name[NETWORK_SIZE])
{
    char link[64];
    unsigned long long number;
    name[0] = '\0';
    if (is_first_network())
        return;
    ssize_t length = readlink("/proc/thread-self/ns/net", link, sizeof link - 1);
    if (length < 0)
        return;
    link[length] = '\0';
    if (sscanf(link, "net:[%llu]", &number) == 1)
        snprintf(name, NETWORK_SIZE, "-%llu", number);
}

static bool is_own_directory(const char *path)
{
    struct stat status;
    /* The XDG specification: a relative one is to be ignored. */
    return path && path[0] == '/' && stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

char *socket_path(const char *wanted, char *(*environment)(const char *name))
{
    char network[NETWORK_SIZE];
    char *path;
    if (!wanted || !*wanted)
        wanted = environment("OCHE_SOCKET");
    if (wanted && *wanted)
        return absolute_path(wanted);
    name_network(network);
    const char *runtime = environment("XDG_RUNTIME_DIR");
    int length = is_own_directory(runtime) ? asprintf(&path, "%s/oche/oched%s.sock", runtime, network)
                                           : asprintf(&path, "/tmp/oche-%u/oched%s.sock", (unsigned)geteuid(), network);
    return length < 0 ? NULL : path;
}
