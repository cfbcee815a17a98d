/*
 * Unpacking the bodies of frames. A body that cannot be decoded is the client's fault, and a lack of memory is not; to
 * tell them apart, protobuf-c allocates with this.
 */
#ifndef OCHE_DAEMON_OPERATIONS_BODY_H
#define OCHE_DAEMON_OPERATIONS_BODY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct body_memory {
    ProtobufCAllocator allocator; /* for the unpack function of a message */
    bool was_short;               /* an allocation has failed */
};

void body_memory_init(struct body_memory *memory);

#endif
