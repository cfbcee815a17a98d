#include "common/absolute_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *absolute_path(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *directory = getcwd(NULL, 0);
    if (!directory)
        return NULL;
    char *joined;
    if (asprintf(&joined, "%s/%s", directory, path) < 0)
        joined = NULL;
    free(directory);
    return joined;
}
