/*
 * Which file it is, whatever its name: so a daemon can tell its own socket and lock from those that another one has put
 * in their place.
 */
#ifndef OCHE_DAEMON_PROCESS_FILE_ID_H
#define OCHE_DAEMON_PROCESS_FILE_ID_H

#include <stdbool.h>
#include <stdint.h>

struct file_id {
    uint64_t device;
    uint64_t inode; /* 0: no file */
};

/* Of what is at the path, which may be a link itself; no file if there is nothing, or nothing that can be looked at. */
struct file_id file_id_at(const char *path);

struct file_id file_id_of(int fd);

/* Whether what is at the path is not this file any more, but another one or none. False if that cannot be found out. */
bool file_id_has_gone(struct file_id file, const char *path);

/* False for "no file". */
bool file_id_is_same(struct file_id one, struct file_id other);

#endif
