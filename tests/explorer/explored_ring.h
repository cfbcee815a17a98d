/*
 * The product's ring between a producer and a consumer that sleep and wake each other, as scenarios for the explorer.
 */
#ifndef OCHE_TESTS_EXPLORER_EXPLORED_RING_H
#define OCHE_TESTS_EXPLORER_EXPLORED_RING_H

#include "tests/explorer/explorer.h"

#include <stdbool.h>

/* `records` of `record_size` bytes go through a ring of RING_SIZE_MIN bytes. The consumer gives their room back after
 * each of them if it is `eager`, else when it finds the ring empty. */
struct explorer_result explored_ring(unsigned records, uint32_t record_size, bool eager);

#endif
