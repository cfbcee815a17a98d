/*
 * How threads of the daemon wake each other, as scenarios for the explorer.
 */
#ifndef OCHE_TESTS_EXPLORER_EXPLORED_WAKES_H
#define OCHE_TESTS_EXPLORER_EXPLORED_WAKES_H

#include "tests/explorer/explorer.h"

/* Two threads say that they have finished, each by a flag and engine_wake(); a loop waits for both. */
struct explorer_result explored_engine_wake(void);

/* Of two threads that want a descriptor one gets the last; the other waits until it is given back. */
struct explorer_result explored_descriptors(void);

#endif
