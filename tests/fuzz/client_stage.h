/*
 * A session of the client on a stage: the real session, lane and tables, and the input plays the application that
 * makes requests, and the daemon at the other end of the Unix-domain socket or of the shared memory, which may say
 * anything and write anywhere.
 *
 * Whatever the daemon does, a request that was accepted completes exactly once.
 */
#ifndef OCHE_TESTS_FUZZ_CLIENT_STAGE_H
#define OCHE_TESTS_FUZZ_CLIENT_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void client_stage_play(const uint8_t *data, size_t size, bool on_memory);

#endif
