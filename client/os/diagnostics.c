#include "client/os/diagnostics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last[512];

static void say(const char *text)
{
    const char *wanted = getenv("OCHE_LOG");
    if (wanted && strcmp(wanted, "1") == 0)
        fprintf(stderr, "liboche: %s\n", text);
}

void diagnostics_say(const char *format, ...)
{
    char text[sizeof last];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say(text);
}

void diagnostics_fail(int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last, sizeof last, format, arguments);
    va_end(arguments);
    if (error) {
        char buffer[128];
        size_t length = strlen(last);
        snprintf(last + length, sizeof last - length, ": %s", strerror_r(error, buffer, sizeof buffer));
    }
    say(last);
}

void diagnostics_recall(const char *text)
{
    snprintf(last, sizeof last, "%s", text);
}

void diagnostics_clear(void)
{
    last[0] = '\0';
}

const char *diagnostics_last(void)
{
    return last;
}
