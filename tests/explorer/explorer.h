/*
 * Runs a few threads in all ways in which they can run, and their atomics in all ways that C11 allows.
 *
 * A machine shows a few of the orders in which threads may see each other's writes, and few of them often. So a lost
 * wake-up may pass every test for years. Here the threads are coroutines; before each thing that others can notice the
 * explorer chooses who goes on, and for each load which of the values it returns that the memory model permits. It goes
 * through all choices, depth first, and leaves out those that differ only in the order of steps that have nothing to do
 * with each other.
 *
 * The memory model, as far as it is needed. Each atomic object has a history of values, in the order of their stores. A
 * thread has a view: how far into each history it must have seen. A load returns any value that is not older. A store
 * with release carries the view of its thread, and a load with acquire that returns its value takes that over. A load
 * that is sequentially consistent returns no value older than that of the last such store. A read-modify-write is of
 * the last value. What C11 allows beyond this: a store may take a place in the history before one of another thread
 * that it has not seen. So an object with plain (not sequentially consistent) stores should have one writer.
 *
 * The scenario's own data are "plain": two accesses that no order forces apart are a race, which is a fault.
 */
#ifndef OCHE_TESTS_EXPLORER_EXPLORER_H
#define OCHE_TESTS_EXPLORER_EXPLORER_H

#include <stddef.h>
#include <stdint.h>

enum explorer_order {
    EXPLORER_RELAXED,
    EXPLORER_ACQUIRE,
    EXPLORER_RELEASE,
    EXPLORER_ACQ_REL, /* acquire for what loads, release for what stores */
    EXPLORER_SC,
};

enum { EXPLORER_THREADS_MAX = 3 };

struct explorer_scenario {
    /* Makes everything as it is at first. Nothing that is made here counts as seen or not seen by anybody. */
    void (*begin)(void *state);
    /* Finite: a loop ends, or waits for a bell. */
    void (*threads[EXPLORER_THREADS_MAX])(void *state);
    /* After all threads have ended. NULL, or what is wrong. */
    const char *(*end)(void *state);
    void *state;
};

struct explorer_result {
    unsigned long executions;
    const char *fault; /* NULL: there was none in any execution */
    char trace[4096];  /* what happened in the one with the fault, a line for each step */
};

struct explorer_result explorer_run(const struct explorer_scenario *scenario);

/* For `begin`: what the trace calls an atomic object of `size` bytes, or, with 0, plain data or a bell. The name is not
 * copied. */
void explorer_name(const void *object, size_t size, const char *name);

/* ---- in threads ---- */

uint64_t explorer_load(const void *object, size_t size, enum explorer_order order);
void explorer_store(void *object, size_t size, uint64_t value, enum explorer_order order);

/* Returns the value of before. */
enum explorer_modification { EXPLORER_SET, EXPLORER_ADD, EXPLORER_OR };
uint64_t explorer_modify(void *object, size_t size, enum explorer_modification how, uint64_t operand,
                         enum explorer_order order);

/* An access to data that are not atomic. */
void explorer_access(const void *data);

/* An eventfd, or whatever wakes somebody who waits: many rings before he does are one. */
void explorer_ring(void *bell);
void explorer_wait(void *bell);

/* Ends the execution: `fault` is wrong. */
void explorer_fail(const char *fault);

#endif
