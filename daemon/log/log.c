#include "daemon/log/log.h"

#include "daemon/log/log_output.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 1024, LINES_PER_SECOND = 50, LINES_AT_ONCE = 1000, KINDS_MAX = 64 };

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* How many lines of one kind there may be. */
struct limit {
    const char *format; /* which makes the kind; NULL: not used yet */
    time_t second;      /* CLOCK_MONOTONIC: when `room` was counted */
    unsigned long left_out;
    unsigned at_once;
    unsigned room; /* lines that may still pass in this second */
};

static atomic_int threshold = LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, and of the output */
static unsigned long lines_lost;
static struct limit failures = {.format = "", .at_once = LINES_PER_SECOND};
static struct limit kinds[KINDS_MAX];

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, level);
}

void log_reopen_file(void)
{
    pthread_mutex_lock(&lock);
    const char *wrong = log_output_reopen();
    pthread_mutex_unlock(&lock);
    if (wrong)
        log_line(LOG_ERROR, "event=log-reopen error=\"%s\"", wrong);
}

void log_hand_over(void)
{
    pthread_mutex_lock(&lock);
    log_output_limit(0);
    pthread_mutex_unlock(&lock);
}

/* ---- writing; the lock is held ---- */

static bool write_text(enum log_level level, const char *text)
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
    return log_output_write(line, length);
}

static void write_or_count(enum log_level level, const char *text)
{
    if (lines_lost > 0) {
        char note[64];
        snprintf(note, sizeof note, "event=log-lines-lost count=%lu", lines_lost);
        if (write_text(LOG_ERROR, note))
            lines_lost = 0;
    }
    if (lines_lost > 0 || !write_text(level, text))
        lines_lost++;
}

/* ---- limits; the lock is held ---- */

/* There are far fewer formats than KINDS_MAX. If that should change, the last of them are one kind. */
static struct limit *limit_of(const char *format)
{
    struct limit *limit = kinds;
    while (limit->format && limit->format != format && limit < kinds + KINDS_MAX - 1)
        limit++;
    if (!limit->format)
        *limit = (struct limit){.format = format, .at_once = LINES_AT_ONCE, .room = LINES_AT_ONCE};
    return limit;
}

static bool may_pass(struct limit *limit, time_t second)
{
    if (second != limit->second) {
        unsigned missing = limit->at_once - limit->room;
        time_t passed = second - limit->second;
        bool all = passed > LINES_AT_ONCE || (unsigned)passed * LINES_PER_SECOND >= missing;
        limit->room = all ? limit->at_once : limit->room + (unsigned)passed * LINES_PER_SECOND;
        limit->second = second;
    }
    if (limit->room == 0) {
        limit->left_out++;
        return false;
    }
    limit->room--;
    return true;
}

static void tell_left_out(struct limit *limit, time_t second)
{
    char note[128];
    if (limit->left_out == 0 || limit->second == second)
        return;
    const char *event = strstr(limit->format, "event=");
    if (limit == &failures)
        snprintf(note, sizeof note, "event=failures-not-logged count=%lu", limit->left_out);
    else
        snprintf(note, sizeof note, "event=lines-not-logged of=%.*s count=%lu",
                 event ? (int)strcspn(event + strlen("event="), " ") : 0, event ? event + strlen("event=") : "",
                 limit->left_out);
    limit->left_out = 0;
    write_or_count(LOG_WARNING, note);
}

static void tell_all_left_out(time_t second)
{
    static time_t told;
    if (told == second)
        return;
    told = second;
    tell_left_out(&failures, second);
    for (struct limit *limit = kinds; limit < kinds + KINDS_MAX && limit->format; limit++)
        tell_left_out(limit, second);
}

/* ---- lines ---- */

static void log_formatted(enum log_level level, bool is_failure, const char *format, va_list arguments)
{
    char text[LINE_MAX_BYTES];
    struct timespec now;
    if ((int)level > atomic_load(&threshold))
        return;
    vsnprintf(text, sizeof text, format, arguments);
    /* Clients choose some of the texts: none of them may end the line or move the terminal's cursor. */
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    tell_all_left_out(now.tv_sec);
    if (may_pass(is_failure ? &failures : limit_of(format), now.tv_sec))
        write_or_count(level, text);
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
