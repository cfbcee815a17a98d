/*
 * Keeps what is fuzzed on this machine, and away from what others do on it: connect() reaches the listeners of this
 * process alone, and bind() binds to the loopback addresses, at a port that the kernel chooses.
 * And makes the buffers of sockets small, so that little fills them.
 *
 * For programs that are linked with --wrap for these functions; see BUILD.bazel.
 */
#ifndef OCHE_TESTS_FUZZ_LOOPBACK_H
#define OCHE_TESTS_FUZZ_LOOPBACK_H

#include <netinet/in.h>

/* Forgets all listeners but the first `count`. */
void loopback_forget(unsigned count);

/* Listeners there are, or were. */
unsigned loopback_count(void);

/* The address of a listener; `index` is taken modulo their number, which must not be 0. */
const struct sockaddr_storage *loopback_listener(unsigned index, socklen_t *length);

#endif
