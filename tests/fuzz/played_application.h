/*
 * An application of the client library that an input plays: it makes requests, takes completions and holds on to data.
 *
 * A request that was accepted completes exactly once.
 */
#ifndef OCHE_TESTS_FUZZ_PLAYED_APPLICATION_H
#define OCHE_TESTS_FUZZ_PLAYED_APPLICATION_H

#include "tests/fuzz/input.h"

#include <oche/oche.h>

enum {
    PLAYED_APPLICATION_REQUESTS = 1024, /* in one input */
    PLAYED_APPLICATION_HANDLES = 16,    /* that it remembers, the last ones */
    PLAYED_APPLICATION_KEPT = 16,       /* data that it holds */
};

struct played_application {
    struct input *input;
    struct oche_session *session;
    bool pending[PLAYED_APPLICATION_REQUESTS]; /* by request id */
    unsigned request_count, pending_count;
    int64_t handles[PLAYED_APPLICATION_HANDLES];
    unsigned handle_count;
    void *kept[PLAYED_APPLICATION_KEPT];
    unsigned kept_count;
    struct oche_statistics statistics;
};

void played_application_init(struct played_application *application, struct input *input, struct oche_session *session);

/* A handle that it was given, or any number. */
int64_t played_application_pick_handle(const struct played_application *application, uint8_t byte);

/* Calls a function of the library. */
void played_application_ask(struct played_application *application, uint8_t what);

/* Takes completions: so many, or all. */
void played_application_take(struct played_application *application, unsigned count);
void played_application_take_all(struct played_application *application);

/* Some data that it holds, or all. The session may be gone. */
void played_application_give_back(struct played_application *application, uint8_t which);
void played_application_give_all_back(struct played_application *application);

#endif
