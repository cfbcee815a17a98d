/*
 * A fuzz target, as libFuzzer calls it, and replay.c.
 */
#ifndef OCHE_TESTS_FUZZ_TARGET_H
#define OCHE_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
