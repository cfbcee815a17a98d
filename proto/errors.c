#include "proto/errors.h"

const char *oche_errors_name(int64_t code)
{
    switch (code) {
#define X(number, name, text)                                                                                          \
    case number:                                                                                                       \
        return "TCP_ERR_" #name;
        OCHE_ERRORS(X)
#undef X
    default:
        return "TCP_ERR_UNKNOWN";
    }
}

const char *oche_errors_text(int64_t code)
{
    switch (code) {
#define X(number, name, text)                                                                                          \
    case number:                                                                                                       \
        return text;
        OCHE_ERRORS(X)
#undef X
    default:
        return code < 0 ? "an error code this version does not know" : "not an error";
    }
}
