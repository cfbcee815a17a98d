#include "client/connect/paths.h"

#include "common/absolute_path.h"
#include "common/socket_path.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A setuid program must not be led astray by its caller's environment. */
static const char *from_environment(const char *name)
{
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

/* Directory and name joined by a slash. */
static char *join_path(const char *directory, size_t directory_length, const char *name)
{
    char *path;
    if (asprintf(&path, "%.*s/%s", (int)directory_length, directory, name) < 0)
        return NULL;
    return path;
}

char *paths_socket(const char *wanted)
{
    return socket_path(wanted, secure_getenv);
}

/* `oched` in the directory of a file; NULL if there is none that can be executed. */
static char *beside(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *path = slash ? join_path(file, (size_t)(slash - file), "oched") : NULL;
    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *beside_library(void)
{
    Dl_info library;
    if (!dladdr((const void *)(uintptr_t)paths_daemon, &library) || !library.dli_fname)
        return NULL;
    char *path = beside(library.dli_fname);
    if (path && path[0] == '/')
        return path;
    free(path);

    /* The loader's name may be a link from elsewhere, or relative to where the program was started.
     */
    char *real = realpath(library.dli_fname, NULL);
    path = real ? beside(real) : NULL;
    free(real);
    return path;
}

static char *in_path(void)
{
    const char *directory = from_environment("PATH");
    while (directory) {
        size_t length = strcspn(directory, ":");
        char *path = length ? join_path(directory, length, "oched") : NULL;
        if (path && path[0] == '/' && access(path, X_OK) == 0)
            return path;
        free(path);
        directory = directory[length] ? directory + length + 1 : NULL;
    }
    return NULL;
}

char *paths_daemon(const char *wanted)
{
    if (!wanted || !*wanted)
        wanted = from_environment("OCHE_DAEMON");
    if (wanted)
        return absolute_path(wanted);
    char *path = beside_library();
    if (!path)
        path = in_path();
    if (!path)
        errno = ENOENT;
    return path;
}
