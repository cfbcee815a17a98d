#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, FAILURES_PER_SECOND = 50 };

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static atomic_int threshold = LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int output = STDERR_FILENO;
static char *output_path; /* written while there is one thread */
static unsigned long lines_lost;

static time_t failure_second;
static unsigned failures_logged;
static unsigned failures_left_out;

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, level);
}

const char *log_errno_text(int error)
{
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

static int open_append(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : -errno;
}

static void replace_output(int fd)
{
    if (output != STDERR_FILENO)
        close(output);
    output = fd;
}

int log_open_file(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open_append(path) : -ENOMEM;
    if (fd < 0) {
        free(copy);
        return fd;
    }
    pthread_mutex_lock(&lock);
    replace_output(fd);
    free(output_path);
    output_path = copy;
    pthread_mutex_unlock(&lock);
    return 0;
}

int log_descriptor(void)
{
    pthread_mutex_lock(&lock);
    int fd = output;
    pthread_mutex_unlock(&lock);
    return fd;
}

const char *log_path(void)
{
    return output_path;
}

void log_release_file(void)
{
    pthread_mutex_lock(&lock);
    replace_output(STDERR_FILENO);
    pthread_mutex_unlock(&lock);
}

void log_reopen_file(void)
{
    pthread_mutex_lock(&lock);
    int fd = output_path ? open_append(output_path) : -ENOENT;
    if (fd >= 0)
        replace_output(fd);
    pthread_mutex_unlock(&lock);
    if (fd < 0 && fd != -ENOENT)
        log_line(LOG_ERROR, "event=log-reopen error=\"%s\"", log_errno_text(-fd));
}

/* With `lock` held. */
static void write_line(enum log_level level, const char *text)
{
    struct timespec now;
    struct tm utc;
    char line[LINE_MAX_BYTES + 64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    int rest = snprintf(line + length, sizeof line - length, ".%03ldZ %s %s\n", now.tv_nsec / 1000000,
                        level_names[level], text);
    length += (size_t)rest;
    if (length >= sizeof line) {
        length = sizeof line - 1;
        line[length - 1] = '\n';
    }
    ssize_t written;
    do
        written = write(output, line, length);
    while (written < 0 && errno == EINTR);
    if (written != (ssize_t)length) {
        lines_lost++;
    } else if (lines_lost) {
        char note[64];
        snprintf(note, sizeof note, "event=log-lines-lost count=%lu", lines_lost);
        lines_lost = 0;
        write_line(LOG_ERROR, note);
    }
}

/* With `lock` held. False: the line is one too many in this second. */
static bool failure_may_pass(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != failure_second) {
        unsigned left_out = failures_left_out;
        failure_second = now.tv_sec;
        failures_logged = failures_left_out = 0;
        if (left_out) {
            char note[64];
            snprintf(note, sizeof note, "event=failures-not-logged count=%u", left_out);
            write_line(LOG_WARNING, note);
        }
    }
    if (failures_logged < FAILURES_PER_SECOND) {
        failures_logged++;
        return true;
    }
    failures_left_out++;
    return false;
}

static void log_formatted(enum log_level level, bool is_failure, const char *format, va_list arguments)
{
    char text[LINE_MAX_BYTES];
    if ((int)level > atomic_load(&threshold))
        return;
    vsnprintf(text, sizeof text, format, arguments);
    /* Clients choose some of the texts: none of them may end the line or move the terminal's cursor. */
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    pthread_mutex_lock(&lock);
    if (!is_failure || failure_may_pass())
        write_line(level, text);
    pthread_mutex_unlock(&lock);
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_formatted(level, false, format, arguments);
    va_end(arguments);
}

void log_failure(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_formatted(level, true, format, arguments);
    va_end(arguments);
}
