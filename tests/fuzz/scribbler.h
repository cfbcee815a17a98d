/*
 * What no honest side does to the memory that two share: it writes to the positions of the rings, and anywhere else.
 */
#ifndef OCHE_TESTS_FUZZ_SCRIBBLER_H
#define OCHE_TESTS_FUZZ_SCRIBBLER_H

#include "proto/memory.h"
#include "proto/ring.h"
#include "tests/fuzz/input.h"

/* One of the words that both sides change: near what it is, or anything. */
void scribbler_change_word(const struct memory_map *map, struct input *input);

/* Bytes near where the other side looks next in this ring, or anywhere; bits of `how`. */
void scribbler_change_bytes(uint8_t *base, size_t total, struct ring_producer *ring, uint8_t how, struct input *input);

#endif
