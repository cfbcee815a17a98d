/*
 * The frame: what client and daemon say to each other, whatever lane carries it.
 *
 * A frame is a fixed header of 40 bytes, then a body (a protobuf message; control operations only), then a payload
 * (the bytes of a read or write, or a fixed record such as the endpoints of a new connection). All integers are
 * little-endian and of fixed width, so that a 32-bit client can talk to a 64-bit daemon.
 *
 *    offset  size  field
 *         0     2  opcode
 *         2     2  flags
 *         4     2  body length in bytes
 *         6     2  os error: errno of a failed operation, 0 if there is none
 *         8     8  request id: chosen by the client, echoed in the reply
 *        16     8  handle: the socket that the request is about; 0 if none
 *        24     8  value: the argument of a request; the result of a reply (negative: a code of proto/errors.h)
 *        32     4  payload length in bytes
 *        36     4  payload offset: where the payload lies in the sender's arena, with FRAME_IN_ARENA; else 0, and the
 *                  payload follows the body
 *
 * This module does no I/O: bytes in, frames out. proto/README.md describes the conversation.
 */
#ifndef OCHE_PROTO_FRAME_H
#define OCHE_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER_SIZE = 40,
    FRAME_BODY_MAX = 4096,          /* bytes; control messages are small, and must stay so */
    FRAME_PAYLOAD_MAX = 256 * 1024, /* bytes; longer writes are cut into frames with FRAME_MORE */
};

/* What a WRITE counts against the session's limit on queued bytes besides its payload, and a CLOSE_WRITE in all, so
 * that very many very small ones are limited too. Client and daemon count alike, from the request to its answer: so the
 * client refuses before the daemon has to, and a write that it has sent is not refused for this. A connection's first
 * CLOSE_WRITE counts, but is not refused. */
enum { FRAME_WRITE_OVERHEAD = 64 };

/* The newest version of the protocol that this tree speaks, and the oldest. */
enum { FRAME_VERSION_MIN = 2, FRAME_VERSION_MAX = 2 };

#define FRAME_OPCODES(X)                                                                                               \
    X(1, HELLO)          /* body Hello → body Welcome; the first frame, exactly once */                              \
    X(2, CONNECT)        /* body Connect → value handle, payload endpoints */                                        \
    X(3, LISTEN)         /* body Listen → value handle, payload endpoints */                                         \
    X(4, ACCEPT)         /* handle listener → value handle, payload endpoints */                                     \
    X(5, READ)           /* handle, value credit: no reply of its own, but data, see below */                          \
    X(6, WRITE)          /* handle, payload the bytes → value total count */                                         \
    X(7, CLOSE_WRITE)    /* handle → value 0 */                                                                      \
    X(8, CLOSE)          /* handle → value 0 */                                                                      \
    X(9, LISTENER_CLOSE) /* handle, value 1 to close what it accepted too → value 0 */                               \
    X(10, SET_OPTION)    /* handle, body Option → value 0 */                                                         \
    X(11, STATISTICS)    /* → body Statistics */                                                                     \
    X(12, RELEASE)       /* either way: the receiver of a payload in an arena is done with it */                       \
    X(13, CANCEL)        /* value the request id of what waits, and ends with CLOSED if it still can; no reply */      \
    X(14, HANDOVER)      /* from a successor, and to clients: see proto/handover.h */                                  \
    X(15, ABORT)         /* handle → value 0 */                                                                      \
    X(16, GET_OPTION)    /* handle, body RawOption → value its length, body RawOption */                             \
    X(17, PING)          /* → value 0, at once */                                                                    \
    X(18, DATAGRAM)      /* body Datagram → value handle, payload endpoints */                                       \
    X(19, TLS_CONTEXT)   /* payload TlsContext → value handle */                                                     \
    X(20, PAUSE)         /* handle → value 0: no credit is left, and no data follow until there is some */           \
    X(21, SECURE)   /* handle, body Secure, payload what was received too early → value 0; or, with words, TRUST may \
                       follow */                                                                                       \
    X(22, TRUST)    /* handle → value 0: the handshake goes on, whatever the certificate is */                       \
    X(23, TLS_INFO) /* handle, value an item (tls_item.h) → value its length, payload the item */                    \
    X(24, TLS_REPLACE) /* handle of a TLS_CONTEXT, payload TlsContext → value 0 */

enum frame_opcode {
#define X(number, name) FRAME_##name = (number),
    FRAME_OPCODES(X)
#undef X
        FRAME_OPCODE_END
};

enum frame_flag {
    FRAME_REPLY = 1 << 0,    /* set in every frame from the daemon, in none from the client */
    FRAME_MORE = 1 << 1,     /* WRITE: the next frame of this request continues it; only the last one is answered */
    FRAME_IN_ARENA = 1 << 2, /* READ from the daemon, WRITE, RELEASE: on the memory lane only */
    FRAME_QUIET = 1 << 3, /* WRITE: nobody waits for its success, so the answer may come later, together with others */
};

/*
 * Reading goes by credit. READ from the client grants the daemon so many more bytes to receive from a connection. What
 * comes is sent as it comes, in READ frames from the daemon: the handle, request id 0, a value of 1 or more, and that
 * many bytes of payload. The end of the stream and a failure are a READ frame with a negative value, after which there
 * is none any more for that handle, whatever credit is left.
 *
 * A datagram socket is read and written with READ and WRITE, too. Each of these frames from the client and from the
 * daemon is one datagram, whose payload begins with the other end (ENDPOINT_SIZE bytes, proto/endpoints.h). A datagram
 * comes whole as long as there is any credit, which it may exceed.
 */
enum { FRAME_CREDIT_MAX = 16 * 1024 * 1024 }; /* bytes that a connection may have */

struct frame {
    uint16_t opcode;
    uint16_t flags;
    uint16_t body_length;
    uint16_t os_error;
    int64_t request_id;
    int64_t handle;
    int64_t value;
    uint32_t payload_length;
    uint32_t payload_offset;
};

/* Positive conditions of this module; see frame_fault_text(). */
enum frame_fault {
    FRAME_FAULT_OPCODE = 16, /* above the conditions of proto/frame_reader.h */
    FRAME_FAULT_FLAGS,
    FRAME_FAULT_BODY_LENGTH,
    FRAME_FAULT_PAYLOAD_LENGTH,
};

void frame_encode(const struct frame *frame, uint8_t out[FRAME_HEADER_SIZE]);

/* Decodes and checks a header: known opcode, known flags, lengths in bounds. Returns 0, or a frame_fault; *frame is
 * filled in either case. Whether the frame makes sense now (direction, handle, state) is for the receiver to say. */
int frame_decode(struct frame *frame, const uint8_t in[FRAME_HEADER_SIZE]);

/* "CONNECT" for 2, "?" for a number that is no opcode. Static storage. */
const char *frame_opcode_name(unsigned opcode);

/* What is wrong with the header, for a log line. Static storage. */
const char *frame_fault_text(int fault);

#endif
