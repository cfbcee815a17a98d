/* A session on the memory lane whose ring of requests has room for a single frame, for C++, which does not see atomics.
 */
#ifndef OCHE_TESTS_UNIT_CLIENT_SESSION_CROWDED_SESSION_H
#define OCHE_TESTS_UNIT_CLIENT_SESSION_CROWDED_SESSION_H

#include <stdint.h>

/* Makes such a session with a connection, on which `payloads` blocks of data have come that nobody has read; closes the
 * connection, and returns the opcode of the frame that took the last room in the ring. Negative: something is not to be
 * had. */
int crowded_session_close(unsigned payloads);

#endif
