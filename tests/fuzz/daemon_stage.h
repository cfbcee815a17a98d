/*
 * A session of the daemon on a stage: the real engine, lane, session and sockets in one thread, and the input plays
 * everybody else: the client at the other end of the Unix-domain socket, or of the shared memory, and the peers of its
 * connections, which are on the loopback device.
 *
 * An input is a list of acts. One or more of them happen at the end of each turn of the engine, so nothing ever waits.
 */
#ifndef OCHE_TESTS_FUZZ_DAEMON_STAGE_H
#define OCHE_TESTS_FUZZ_DAEMON_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `on_memory`: the session has said hello already, and is on the memory lane. */
void daemon_stage_play(const uint8_t *data, size_t size, bool on_memory);

#endif
