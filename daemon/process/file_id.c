#include "daemon/process/file_id.h"

#include <errno.h>
#include <sys/stat.h>

static struct file_id from(const struct stat *status)
{
    return (struct file_id){.device = status->st_dev, .inode = status->st_ino};
}

struct file_id file_id_at(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? from(&status) : (struct file_id){.inode = 0};
}

struct file_id file_id_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? from(&status) : (struct file_id){.inode = 0};
}

bool file_id_has_gone(struct file_id file, const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT || errno == ENOTDIR;
    return !file_id_is_same(file, from(&status));
}

bool file_id_is_same(struct file_id one, struct file_id other)
{
    return one.inode != 0 && one.inode == other.inode && one.device == other.device;
}
