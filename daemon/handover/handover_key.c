#include "daemon/handover/handover_key.h"

#include "daemon/log/complaint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PATH_SIZE = sizeof((struct sockaddr_un *)0)->sun_path + 8,
    DIGITS = 2 * HANDOVER_KEY_SIZE,
};

static const char variable[] = "OCHE_HANDOVER_KEY";

struct handover_key handover_key_make(void)
{
    struct handover_key key = {.exists = false};
    key.exists = getrandom(key.bytes, sizeof key.bytes, 0) == sizeof key.bytes;
    return key;
}

bool handover_key_opens(const struct handover_key *key, const uint8_t bytes[HANDOVER_KEY_SIZE])
{
    uint8_t difference = 0;
    for (size_t i = 0; i < HANDOVER_KEY_SIZE; i++)
        difference |= key->bytes[i] ^ bytes[i];
    return key->exists && difference == 0;
}

static void to_text(const struct handover_key *key, char text[DIGITS + 1])
{
    for (size_t i = 0; i < HANDOVER_KEY_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", key->bytes[i]);
}

static struct handover_key from_text(const char *text)
{
    struct handover_key key = {.exists = text && strspn(text, "0123456789abcdef") == DIGITS};
    for (size_t i = 0; key.exists && i < HANDOVER_KEY_SIZE; i++) {
        const char digits[] = {text[2 * i], text[2 * i + 1], '\0'};
        key.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return key;
}

/* ---- the file ---- */

static void path_of(const char *socket_path, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s.key", socket_path);
}

void handover_key_write(const struct handover_key *key, const char *socket_path)
{
    char path[PATH_SIZE], text[DIGITS + 2];
    if (!key->exists)
        return;
    path_of(socket_path, path);
    to_text(key, text);
    text[DIGITS] = '\n';
    unlink(path);
    /* Never a file that somebody else has put there: O_EXCL follows no link either. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, DIGITS + 1) != DIGITS + 1)
        complain("cannot write the handover key %s: %s; --replace will not work", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

struct handover_key handover_key_read(const char *socket_path)
{
    struct handover_key none = {.exists = false};
    char path[PATH_SIZE], text[DIGITS + 2] = "";
    path_of(socket_path, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return none;
    struct stat status;
    bool trusted = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid();
    ssize_t length = trusted ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    return length > 0 ? from_text(text) : none;
}

bool handover_key_is_written(const char *socket_path)
{
    char path[PATH_SIZE];
    path_of(socket_path, path);
    return access(path, F_OK) == 0;
}

void handover_key_remove(const char *socket_path)
{
    char path[PATH_SIZE];
    path_of(socket_path, path);
    unlink(path);
}

/* ---- the environment ---- */

void handover_key_put(const struct handover_key *key)
{
    char text[DIGITS + 1];
    if (!key->exists)
        return;
    to_text(key, text);
    setenv(variable, text, 1);
}

struct handover_key handover_key_take(void)
{
    struct handover_key key = from_text(getenv(variable));
    unsetenv(variable);
    return key;
}
