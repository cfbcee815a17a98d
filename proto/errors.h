/*
 * The one list of result codes.
 *
 * OCHE_ERRORS(X) calls X(code, name, text) for every negative result of the API, most of them also results on the
 * wire. The C header of the product (client/include/oche/tcp_socket.h) and the Dart constants are checked against it
 * by tests; nothing else in the tree spells a code as a number.
 *
 * Codes -1 to -13 are the contract and never change meaning. Codes from -14 down are oche's own.
 */
#ifndef OCHE_PROTO_ERRORS_H
#define OCHE_PROTO_ERRORS_H

#include <stdint.h>

#define OCHE_ERRORS(X)                                                                                                 \
    X(-1, INVALID_HANDLE, "the handle is not open, or is not of the kind the call needs")                              \
    X(-2, INVALID_ADDRESS, "an address must be 4 or 16 bytes, and all addresses of one family")                        \
    X(-3, CONNECT_FAILED, "the connection could not be made")                                                          \
    X(-4, BIND_FAILED, "the local address or port could not be bound")                                                 \
    X(-5, LISTEN_FAILED, "the socket could not listen")                                                                \
    X(-6, ACCEPT_FAILED, "no connection could be accepted")                                                            \
    X(-7, READ_FAILED, "reading failed: the connection is broken")                                                     \
    X(-8, WRITE_FAILED, "writing failed: the connection is broken or was shut down")                                   \
    X(-9, CLOSED, "the end of the stream was reached, or the handle was closed")                                       \
    X(-10, SOCKET_OPTION, "the socket option could not be read or set")                                                \
    X(-11, NOT_INITIALIZED, "tcp_init has not been called in this isolate")                                            \
    X(-12, OUT_OF_MEMORY, "out of memory, or too many bytes or requests are queued")                                   \
    X(-13, INVALID_ARGUMENT, "an argument is out of range")                                                            \
    X(-14, DAEMON_LOST, "the connection to the daemon broke; handles made before are gone")                            \
    X(-15, DAEMON_UNAVAILABLE, "no daemon answers, and none could be started")                                         \
    X(-16, TIMED_OUT, "the operation did not finish within its time limit")                                            \
    X(-17, QUOTA, "a limit of the daemon or of the session is reached")                                                \
    X(-18, PROTOCOL, "client and daemon have no protocol version in common")                                           \
    X(-19, TLS_FAILED, "TLS could not be agreed upon with the other side")

enum oche_error {
#define X(code, name, text) OCHE_ERR_##name = (code),
    OCHE_ERRORS(X)
#undef X
};

/* "TCP_ERR_CLOSED" for -9; "TCP_ERR_UNKNOWN" for a number that is no code. Never NULL, static storage. */
const char *oche_errors_name(int64_t code);

/* One sentence for people, without a full stop. Never NULL, static storage. */
const char *oche_errors_text(int64_t code);

#endif
