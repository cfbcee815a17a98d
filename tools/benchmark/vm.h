/*
 * A stand-in for the Dart VM: one isolate with one native port.
 *
 * It has the parts of the VM's message queue: a post allocates the message, appends it under a mutex and wakes the
 * isolate if that waits; the isolate takes one message at a time. A Dart VM has more work with each message, so the
 * differences between libraries show here.
 */
#ifndef OCHE_BENCHMARK_VM_H
#define OCHE_BENCHMARK_VM_H

#include "tools/benchmark/dart_object.h"

#include <stddef.h>
#include <stdint.h>

struct vm_message {
    int64_t request_id;
    int64_t result;
    uint8_t *data; /* or NULL */
    dart_finalizer *finalizer;
    void *peer;
};

/* Makes the calling thread the isolate. */
void vm_enter(void);

/* What tcp_init() wants. */
void *vm_data(void);
int64_t vm_port(void);

/* The completions in the next message that came to the port: *messages is valid until the next call. Waits for one; 0
 * if none comes for so long. A negative timeout means for ever. */
size_t vm_take(const struct vm_message **messages, int timeout_ms);

/* Collects the data of a message. */
void vm_finalize(const struct vm_message *message);

#endif
