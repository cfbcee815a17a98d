/*
 * tcp_socket.h: TCP sockets for a Dart isolate, served by the oche daemon.
 *
 * One session per isolate: tcp_init() opens it, tcp_destroy() ends it, and everything between belongs to the isolate
 * that called tcp_init(). The sockets themselves live in the daemon (oched), which is started when nobody serves yet.
 *
 * Asynchronous calls take a request id, which oche does not interpret, queue the request and return 0, or return a
 * negative code at once; then there is no completion. A request that was queued completes exactly once, with a
 * message to the isolate's native port, an array of three:
 *
 *     [request_id: int64, result: int64, data: Uint8List (external typed data) or null]
 *
 * A result is positive or 0 on success and a TCP_ERR_ code on failure. Data comes with a successful read only; it is
 * native memory, given back when Dart collects the list.
 *
 * Requests on one handle take effect in the order in which they were made. Writes never interleave.
 *
 * Synchronous calls answer at once. The getters are answered from memory; the setters wait for the daemon, for five
 * seconds at most.
 *
 * Threads: every function may be called from any thread. tcp_init, tcp_destroy, tcp_connect and tcp_listen ask the VM
 * which isolate is calling, so they must run in that isolate and must not be leaf calls. The others find the session
 * through the handle: tcp_read, tcp_write, tcp_close_write, tcp_close, tcp_accept, tcp_listener_close and the getters
 * never block, never call the VM, and may be leaf calls. The setters block, so they must not be.
 *
 * A handle is a positive number and is never used for a second socket within its session. A handle that is closed,
 * made up, or from before tcp_destroy or the loss of the daemon is refused with TCP_ERR_INVALID_HANDLE.
 *
 * In the child of a fork() without exec the library is as if tcp_init had never been called. Signals, and descriptors
 * other than the library's own, are left alone.
 *
 * oche.h has what lies beneath (a C interface without Dart), and extensions that are off unless asked for.
 */
#ifndef OCHE_TCP_SOCKET_H
#define OCHE_TCP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not open, or not of the kind that the call needs (tcp_read on a listener). */
#define TCP_ERR_INVALID_HANDLE (-1)
/* An address that is not 4 or 16 bytes long, or a source of another family than the destination. */
#define TCP_ERR_INVALID_ADDRESS (-2)
/* Refused, unreachable, or no descriptor left for it. */
#define TCP_ERR_CONNECT_FAILED (-3)
#define TCP_ERR_BIND_FAILED (-4)
#define TCP_ERR_LISTEN_FAILED (-5)
#define TCP_ERR_ACCEPT_FAILED (-6)
/* The connection broke, for example by a reset: what came before may be incomplete. */
#define TCP_ERR_READ_FAILED (-7)
/* The connection broke, or its sending side was shut down before. */
#define TCP_ERR_WRITE_FAILED (-8)
/* A read: the peer has sent everything. Any request: the handle was closed while it was pending. */
#define TCP_ERR_CLOSED (-9)
#define TCP_ERR_SOCKET_OPTION (-10)
/* tcp_init was not called, or tcp_destroy was. */
#define TCP_ERR_NOT_INITIALIZED (-11)
/* No memory, or the limit on bytes and requests in the queue is reached: wait for a completion and try again. */
#define TCP_ERR_OUT_OF_MEMORY (-12)
/* A null pointer, a number out of range, a second read while one is pending. */
#define TCP_ERR_INVALID_ARGUMENT (-13)
/* The daemon went away, or has owed an answer for some seconds and does not say that it is there. All handles of the
 * session are gone; the next tcp_connect or tcp_listen looks for a daemon, or starts one. */
#define TCP_ERR_DAEMON_LOST (-14)
/* No daemon answers and none could be started; oche_last_error() says what was tried. */
#define TCP_ERR_DAEMON_UNAVAILABLE (-15)
#define TCP_ERR_TIMED_OUT (-16)
/* The daemon's limit on sessions, or on sockets of this session, is reached. */
#define TCP_ERR_QUOTA (-17)
/* Library and daemon have no protocol version in common. */
#define TCP_ERR_PROTOCOL (-18)
/* TLS could not be agreed upon with the other side (oche.h). */
#define TCP_ERR_TLS_FAILED (-19)

/*
 * Opens the session of the calling isolate. `dart_api_dl_data` is NativeApi.initializeApiDLData, `send_port` the
 * nativePort of the port that shall receive completions. Calling it again with the same port changes nothing and
 * returns 0. Calling it again with another port ends the earlier session, as tcp_destroy would, and opens a new one.
 *
 * Connects to the daemon at $OCHE_SOCKET, else in the user's runtime directory, and starts one if nobody serves
 * there: $OCHE_DAEMON, else `oched` beside this library, else `oched` from PATH. Blocks for five seconds at most.
 *
 * 0, TCP_ERR_INVALID_ARGUMENT (not the data of a Dart VM that this library understands, or $OCHE_LANE is neither
 * "plain" nor "memory", see oche.h), TCP_ERR_OUT_OF_MEMORY, TCP_ERR_DAEMON_UNAVAILABLE, TCP_ERR_PROTOCOL,
 * TCP_ERR_QUOTA.
 */
int64_t tcp_init(void *dart_api_dl_data, int64_t send_port);

/*
 * Ends the session of the calling isolate and closes its sockets. What is pending completes with TCP_ERR_CLOSED
 * before this returns; nothing is posted afterwards. 0, or TCP_ERR_NOT_INITIALIZED.
 */
int64_t tcp_destroy(void);

/*
 * Connects to `addr` (`addr_len` bytes, 4 or 16, network order) and `port`, 1 to 65535. `source_addr` of
 * `source_addr_len` bytes and `source_port` choose the local end; NULL, 0 and 0 leave it to the system.
 * Completes with a connection handle, TCP_ERR_CONNECT_FAILED, TCP_ERR_BIND_FAILED, TCP_ERR_QUOTA.
 */
int64_t tcp_connect(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, const uint8_t *source_addr,
                    int64_t source_addr_len, int64_t source_port);

/*
 * Completes with the count of bytes, at least 1, and the bytes; with TCP_ERR_CLOSED at the end of the stream; with
 * TCP_ERR_READ_FAILED when the connection broke. One read may be pending for a connection; a second one is refused
 * with TCP_ERR_INVALID_ARGUMENT.
 */
int64_t tcp_read(int64_t request_id, int64_t handle);

/*
 * Sends `count` bytes from `data` + `offset`. They have been copied when this returns. Completes with `count` when
 * all of them were handed to the kernel, or with TCP_ERR_WRITE_FAILED. Several writes may be pending. A count of 0
 * completes with 0 when all writes before it are done.
 *
 * A write that is refused by this call has changed nothing and may be made again: TCP_ERR_OUT_OF_MEMORY, too many bytes
 * are queued. A write that completes with a failure is the last one of its connection, for others may have been made
 * behind it that must not be sent without it: they and all later ones fail alike, and so does tcp_close_write. Such
 * failures are TCP_ERR_WRITE_FAILED, TCP_ERR_QUOTA (all sessions of the user together have too much queued) and
 * TCP_ERR_OUT_OF_MEMORY. The connection can still be read from; when it is closed the peer sees a reset.
 */
int64_t tcp_write(int64_t request_id, int64_t handle, const uint8_t *data, int64_t offset, int64_t count);

/* Sends the end of the stream after everything written so far; reading goes on. Completes with 0 when it is sent. */
int64_t tcp_close_write(int64_t request_id, int64_t handle);

/*
 * Closes the connection. Requests that are pending on it, unfinished writes included, complete with TCP_ERR_CLOSED.
 * Completes with 0. The handle is invalid from the moment of the call.
 *
 * As with close(2), what was written before is still sent, and then the end of the stream: in the background, for a
 * minute at most. If the peer does not take it in that time, or the daemon ends earlier, it sees a reset. oche_abort
 * and oche_isolate_abort (oche.h) drop it at once.
 *
 * Also as with close(2), bytes that have come from the peer and are still in the kernel, unread, or that come while
 * there is something to send, make the kernel reset the connection, and the peer may lose the end of what was sent. Not
 * so bytes that have already come to the daemon or the library: they are dropped, and nobody is told. To be certain
 * that the peer has everything, use tcp_close_write, and read to the end of the stream before you close.
 */
int64_t tcp_close(int64_t request_id, int64_t handle);

/*
 * Listens on `addr` (4 or 16 bytes) and `port`; port 0 lets the system choose, tcp_get_local_port() tells which.
 * `v6_only`: an IPv6 listener takes no IPv4 connections. `backlog`: how many connections may wait for an accept; 0
 * or less means as many as the system allows. `shared`: other shared listeners of this user may use the same address
 * and port, with the same `v6_only`, and connections are spread over those that have accepts pending. They have one
 * queue: connections that wait are reset when the last of them is closed, and not before. Its length is the largest
 * backlog. Completes with a listener handle, TCP_ERR_BIND_FAILED, TCP_ERR_LISTEN_FAILED, TCP_ERR_QUOTA.
 */
int64_t tcp_listen(int64_t request_id, const uint8_t *addr, int64_t addr_len, int64_t port, bool v6_only,
                   int64_t backlog, bool shared);

/* Completes with a connection handle. Several accepts may be pending; they are served in the order they were made. */
int64_t tcp_accept(int64_t request_id, int64_t listener);

/*
 * Stops listening. Pending accepts complete with TCP_ERR_CLOSED. Connections that were accepted live on, unless
 * `force`, which closes them as tcp_close would. Completes with 0.
 */
int64_t tcp_listener_close(int64_t request_id, int64_t listener, bool force);

/* Write the address, in network order, to `out`, which has room for 16 bytes; return its length, 4 or 16. */
int64_t tcp_get_local_address(int64_t handle, uint8_t *out);
int64_t tcp_get_remote_address(int64_t handle, uint8_t *out);

int64_t tcp_get_local_port(int64_t handle);
int64_t tcp_get_remote_port(int64_t handle);

/* SO_KEEPALIVE and TCP_NODELAY of a connection: 0 or 1. Both are off at first. */
int64_t tcp_get_keep_alive(int64_t handle);
int64_t tcp_get_no_delay(int64_t handle);

/* 0, TCP_ERR_SOCKET_OPTION, TCP_ERR_TIMED_OUT (the daemon did not answer within five seconds). */
int64_t tcp_set_keep_alive(int64_t handle, bool enabled);
int64_t tcp_set_no_delay(int64_t handle, bool enabled);

#ifdef __cplusplus
}
#endif

#endif
