/*
 * Requests as a client makes them, well or badly: from bytes of the input to frames.
 */
#ifndef OCHE_TESTS_FUZZ_REQUESTS_H
#define OCHE_TESTS_FUZZ_REQUESTS_H

#include "proto/frame.h"
#include "tests/fuzz/input.h"

struct request {
    struct frame frame; /* as it says it is; its lengths may be lies */
    uint8_t body[FRAME_BODY_MAX];
    uint32_t body_length;
    uint32_t payload_length; /* of what there is in truth: any bytes */
    bool is_honest;          /* nothing about it was changed */
};

/* HELLO of a client that speaks our version. */
void requests_hello(struct request *request, bool memory, uint32_t arena);

/* Anything: often a request that can be served. The caller fills in the handle, if there shall be one. */
void requests_make(struct request *request, struct input *input);

#endif
