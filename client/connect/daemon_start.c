/*
 * The daemon puts itself in the background when it serves, and its first process leaves with status 0; when it fails,
 * its last line on the standard error says why. So starting means to run it, to read what it says, and to wait for the
 * end.
 */
#include "client/connect/daemon_start.h"

#include "client/connect/paths.h"
#include "client/os/diagnostics.h"
#include "client/os/spawn.h"
#include "proto/errors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_TAKEN = 3 /* oched --help: another daemon serves the socket */ };

/* The last of what the daemon says while it starts; its last line is the reason if it fails. */
struct words {
    char text[512];
    size_t length;
};

static void append_words(struct words *words, const char *data, size_t size)
{
    size_t room = sizeof words->text - 1;
    if (size > room) {
        data += size - room;
        size = room;
    }
    if (words->length + size > room) {
        size_t dropped = words->length + size - room;
        memmove(words->text, words->text + dropped, words->length - dropped);
        words->length -= dropped;
    }
    memcpy(words->text + words->length, data, size);
    words->length += size;
    words->text[words->length] = '\0';
}

static const char *last_line(struct words *words)
{
    while (words->length > 0 && words->text[words->length - 1] == '\n')
        words->text[--words->length] = '\0';
    const char *newline = strrchr(words->text, '\n');
    return newline ? newline + 1 : words->text;
}

/* Reads what is there. False: end of file. */
static bool read_words(int fd, struct words *words)
{
    char data[256];
    ssize_t size;
    while ((size = read(fd, data, sizeof data)) > 0)
        append_words(words, data, (size_t)size);
    return size < 0;
}

/* Waits until the program has put itself in the background, or has failed. 0, or a negative errno:
 * the deadline's, or that of a failed exec. */
static int wait_until_started(const struct spawn *spawn, const struct deadline *deadline, struct words *words)
{
    struct pollfd polled[] = {
        {.fd = spawn->report_fd, .events = POLLIN},
        {.fd = spawn->stderr_fd, .events = POLLIN},
    };
    for (;;) {
        int status = deadline_poll(deadline, polled, 2);
        if (status < 0)
            return status;
        if (!read_words(spawn->stderr_fd, words))
            polled[1].fd = -1; /* poll() passes over it */
        int error;
        ssize_t size = read(spawn->report_fd, &error, sizeof error);
        if (size == (ssize_t)sizeof error)
            return -error;
        if (size == 0) {
            read_words(spawn->stderr_fd, words);
            return 0;
        }
    }
}

/* The environment without LD_PRELOAD: it may name this very library, in the host's word size
 * instead of the daemon's. The caller frees the array. */
static char **daemon_environment(void)
{
    static const char preload[] = "LD_PRELOAD=";
    size_t count = 0;
    while (environ && environ[count])
        count++;
    char **copy = malloc((count + 1) * sizeof(char *));
    if (!copy)
        return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], preload, sizeof preload - 1) != 0)
            copy[kept++] = environ[i];
    }
    copy[kept] = NULL;
    return copy;
}

static int64_t judge_end(const char *program, int error, int status, struct words *words,
                         char why[DAEMON_START_WHY_SIZE])
{
    if (error == -ECANCELED)
        return OCHE_ERR_CLOSED;
    if (error == -ETIMEDOUT)
        diagnostics_fail(0, "%s was started, but does not get ready", program);
    else if (error < 0)
        diagnostics_fail(-error, "cannot start %s", program);
    else if (status == 0)
        return 0;
    else if (status == STATUS_TAKEN) {
        snprintf(why, DAEMON_START_WHY_SIZE, "%.*s", DAEMON_START_WHY_SIZE - 1, last_line(words));
        diagnostics_say("%s", why);
        return DAEMON_START_TAKEN;
    } else
        diagnostics_fail(0, "%s failed with status %d: %s", program, status, last_line(words));
    return OCHE_ERR_DAEMON_UNAVAILABLE;
}

static int64_t run_daemon(char *program, const char *socket_path, const struct deadline *deadline,
                          char why[DAEMON_START_WHY_SIZE])
{
    static char socket_option[] = "--socket", idle_option[] = "--idle-exit", idle_seconds[] = "60";
    char *path = strdup(socket_path);
    char **environment = daemon_environment();
    char *argv[] = {program, socket_option, path, idle_option, idle_seconds, NULL};
    struct words words = {.length = 0};
    struct spawn spawn;
    int status = -1;

    int error = path && environment ? spawn_start(&spawn, argv, environment) : -ENOMEM;
    if (!error) {
        diagnostics_say("starting %s --socket %s", program, socket_path);
        error = wait_until_started(&spawn, deadline, &words);
        status = spawn_finish(&spawn);
    }
    free(environment);
    free(path);
    return judge_end(program, error, status, &words, why);
}

int64_t daemon_start_run(const char *daemon_path, const char *socket_path, const struct deadline *deadline,
                         char why[DAEMON_START_WHY_SIZE])
{
    char *program = paths_daemon(daemon_path);
    if (!program) {
        diagnostics_fail(errno == ENOENT ? 0 : errno,
                         "nobody serves %s, and there is no oched to start: set OCHE_DAEMON, or put it "
                         "beside liboche.so or in PATH",
                         socket_path);
        return OCHE_ERR_DAEMON_UNAVAILABLE;
    }
    int64_t status = run_daemon(program, socket_path, deadline, why);
    free(program);
    return status;
}
