#include "client/paths.h"

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
static char *join(const char *directory, size_t directory_length, const char *name)
{
    char *path;
    if (asprintf(&path, "%.*s/%s", (int)directory_length, directory, name) < 0)
        return NULL;
    return path;
}

static char *absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *directory = getcwd(NULL, 0);
    if (!directory)
        return NULL;
    char *joined = join(directory, strlen(directory), path);
    free(directory);
    return joined;
}

char *paths_socket(const char *wanted)
{
    if (!wanted || !*wanted)
        wanted = from_environment("OCHE_SOCKET");
    if (wanted)
        return absolute(wanted);

    const char *runtime = from_environment("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/') /* the XDG specification: ignore it if relative */
        return join(runtime, strlen(runtime), "oche/oched.sock");
    char *path;
    if (asprintf(&path, "/tmp/oche-%u/oched.sock", (unsigned)geteuid()) < 0)
        return NULL;
    return path;
}

/* `oched` in the directory of a file; NULL if there is none that can be executed. */
static char *beside(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *path = slash ? join(file, (size_t)(slash - file), "oched") : NULL;
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
        char *path = length ? join(directory, length, "oched") : NULL;
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
        return absolute(wanted);
    char *path = beside_library();
    if (!path)
        path = in_path();
    if (!path)
        errno = ENOENT;
    return path;
}
