/*
 * A path that means the same file wherever the process goes later.
 */
#ifndef OCHE_COMMON_ABSOLUTE_PATH_H
#define OCHE_COMMON_ABSOLUTE_PATH_H

/* The path from / on, which the caller frees; a relative one counts from the current directory. NULL: out of memory,
 * or errno says why there is no current directory. */
char *absolute_path(const char *path);

#endif
