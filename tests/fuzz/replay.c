/*
 * Runs a fuzz target over files, without libFuzzer: every file that is named, and every file of a directory. One test
 * case in all, under the name of the target; the log says which file was the last.
 */
#include "tests/fuzz/target.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned files;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) < 0)
        err(1, "%s", path);
    size_t size = (size_t)status.st_size;
    /* Of exactly this size, so that a sanitizer sees who reads beyond. */
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size)
        err(1, "%s", path);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    files++;
}

static void replay(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        err(1, "%s", path);
    if (!S_ISDIR(status.st_mode)) {
        replay_file(path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        err(1, "%s", path);
    for (int i = 0; i < count; i++) {
        char inner[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
            replay_file(inner);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    printf("RUN %s: the corpus does no harm\n", name);
    fflush(stdout);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (files == 0)
        errx(1, "no files to replay");
    printf("PASS %s: the corpus does no harm\n", name);
    return 0;
}
