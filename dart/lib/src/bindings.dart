/// What `oche/tcp_socket.h` declares, and of `oche/oche.h` what concerns isolates. The names are
/// those of C; the headers say what they mean, and a test that nothing is missing.
///
/// A leaf call is cheaper and takes the address of a typed-data list (`list.address`), which does
/// not move meanwhile. It must not ask the VM anything and must not block, so not every call can be
/// one; see "Threads" in the header.
library;

// ignore_for_file: non_constant_identifier_names, constant_identifier_names

import 'dart:ffi';

import 'structs.dart';

/// Not open, or not of the kind that the call needs.
const TCP_ERR_INVALID_HANDLE = -1;

/// Not 4 or 16 bytes long, or a source of another family than the destination.
const TCP_ERR_INVALID_ADDRESS = -2;

/// Refused, unreachable, or no descriptor left for it.
const TCP_ERR_CONNECT_FAILED = -3;
const TCP_ERR_BIND_FAILED = -4;
const TCP_ERR_LISTEN_FAILED = -5;
const TCP_ERR_ACCEPT_FAILED = -6;

/// The connection broke: what came before may be incomplete.
const TCP_ERR_READ_FAILED = -7;

/// The connection broke, or its sending side was shut down before.
const TCP_ERR_WRITE_FAILED = -8;

/// The end of the stream, or the handle was closed while the request was pending.
const TCP_ERR_CLOSED = -9;
const TCP_ERR_SOCKET_OPTION = -10;

/// [tcp_init] was not called, or [tcp_destroy] was.
const TCP_ERR_NOT_INITIALIZED = -11;

/// No memory, or too much is queued: wait for a completion and try again.
const TCP_ERR_OUT_OF_MEMORY = -12;
const TCP_ERR_INVALID_ARGUMENT = -13;

/// The daemon went away, and all handles with it; the next connect or listen starts a new one.
const TCP_ERR_DAEMON_LOST = -14;

/// No daemon, and none could be started: [oche_last_error] says why.
const TCP_ERR_DAEMON_UNAVAILABLE = -15;
const TCP_ERR_TIMED_OUT = -16;

/// A limit of the daemon, on sessions or on sockets of this session, is reached.
const TCP_ERR_QUOTA = -17;

/// Library and daemon have no protocol version in common.
const TCP_ERR_PROTOCOL = -18;

/// TLS could not be agreed upon with the other side: the words say why.
const TCP_ERR_TLS_FAILED = -19;

/// Opens the session of this isolate. Takes `NativeApi.initializeApiDLData`, and the `nativePort`
/// that gets the completions.
@Native<Int64 Function(Pointer<Void>, Int64)>()
external int tcp_init(Pointer<Void> dart_api_dl_data, int send_port);

/// Ends the session of this isolate and closes its sockets.
@Native<Int64 Function()>()
external int tcp_destroy();

/// Completes with a connection. `source_addr` may be `nullptr`.
@Native<Int64 Function(Int64, Pointer<Uint8>, Int64, Int64, Pointer<Uint8>, Int64, Int64)>()
external int tcp_connect(
  int request_id,
  Pointer<Uint8> addr,
  int addr_len,
  int port,
  Pointer<Uint8> source_addr,
  int source_addr_len,
  int source_port,
);

/// Completes with the count of bytes, and with the bytes.
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int tcp_read(int request_id, int handle);

/// Completes with `count` when all bytes were sent. They have been copied when this returns.
@Native<Int64 Function(Int64, Int64, Pointer<Uint8>, Int64, Int64)>(isLeaf: true)
external int tcp_write(int request_id, int handle, Pointer<Uint8> data, int offset, int count);

/// Sends the end of the stream after what was written.
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int tcp_close_write(int request_id, int handle);

/// Closes now; what is pending on the connection completes with [TCP_ERR_CLOSED].
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int tcp_close(int request_id, int handle);

/// Completes with a listener.
@Native<Int64 Function(Int64, Pointer<Uint8>, Int64, Int64, Bool, Int64, Bool)>()
external int tcp_listen(
  int request_id,
  Pointer<Uint8> addr,
  int addr_len,
  int port,
  bool v6_only,
  int backlog,
  bool shared,
);

/// Completes with a connection.
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int tcp_accept(int request_id, int listener);

/// Stops listening; `force` also closes the connections that were accepted.
@Native<Int64 Function(Int64, Int64, Bool)>(isLeaf: true)
external int tcp_listener_close(int request_id, int listener, bool force);

/// Writes 4 or 16 bytes to `out`, which has room for 16, and returns how many.
@Native<Int64 Function(Int64, Pointer<Uint8>)>(isLeaf: true)
external int tcp_get_local_address(int handle, Pointer<Uint8> out);

/// Writes 4 or 16 bytes to `out`, which has room for 16, and returns how many.
@Native<Int64 Function(Int64, Pointer<Uint8>)>(isLeaf: true)
external int tcp_get_remote_address(int handle, Pointer<Uint8> out);

@Native<Int64 Function(Int64)>(isLeaf: true)
external int tcp_get_local_port(int handle);

@Native<Int64 Function(Int64)>(isLeaf: true)
external int tcp_get_remote_port(int handle);

/// 0 or 1.
@Native<Int64 Function(Int64)>(isLeaf: true)
external int tcp_get_keep_alive(int handle);

/// 0 or 1.
@Native<Int64 Function(Int64)>(isLeaf: true)
external int tcp_get_no_delay(int handle);

/// Waits for the daemon, five seconds at most.
@Native<Int64 Function(Int64, Bool)>()
external int tcp_set_keep_alive(int handle, bool enabled);

/// Waits for the daemon, five seconds at most.
@Native<Int64 Function(Int64, Bool)>()
external int tcp_set_no_delay(int handle, bool enabled);

/// Makes the session of this isolate as [tcp_init] does, but leaves it to a thread to find or start the daemon when the
/// first connect or listen asks for something.
@Native<Int64 Function(Pointer<Void>, Int64)>()
external int oche_isolate_open(Pointer<Void> dart_api_dl_data, int send_port);

/// Why the session of this isolate could not be opened the last time that this was tried; "" if it could.
@Native<Pointer<Char> Function()>()
external Pointer<Char> oche_isolate_open_error();

/// A failure posts errno in the place of null.
const OCHE_FEATURE_ERROR_DETAIL = 1 << 0;

/// What completes together is posted in one message, a flat list of three elements for each.
const OCHE_FEATURE_BATCHED_POSTS = 1 << 1;

/// A tcp_write with a request id of 0 or less posts only if it fails.
const OCHE_FEATURE_QUIET_WRITES = 1 << 2;

/// A connection that breaks when nothing is under way on it posts [TCP_ERR_READ_FAILED] with the id of its last write.
const OCHE_FEATURE_BREAKS = 1 << 3;

/// A new socket completes with its endpoints in the place of null.
const OCHE_FEATURE_ENDPOINTS = 1 << 4;

/// What has to be explained posts a String in the place of whatever else there would be.
const OCHE_FEATURE_WORDS = 1 << 5;

/// Turns on extensions of the messages to this isolate: the sum of OCHE_FEATURE_ values.
@Native<Int64 Function(Int64)>()
external int oche_isolate_enable(int features);

/// The session of this isolate, for the functions that take one; or `nullptr`.
@Native<Pointer<OcheSession> Function()>()
external Pointer<OcheSession> oche_isolate_session();

/// Completes with a listener.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Pointer<OcheListenOptions>)>()
external int oche_listen(Pointer<OcheSession> session, int request_id, Pointer<OcheListenOptions> options);

/// Completes with a TLS context.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Pointer<OcheTlsOptions>)>()
external int oche_tls_context(Pointer<OcheSession> session, int request_id, Pointer<OcheTlsOptions> options);

/// Replaces what a context consists of.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Int64, Pointer<OcheTlsOptions>)>()
external int oche_tls_replace(
  Pointer<OcheSession> session,
  int request_id,
  int context,
  Pointer<OcheTlsOptions> options,
);

/// Puts TLS on an open connection.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Int64, Pointer<OcheSecureOptions>)>()
external int oche_secure(
  Pointer<OcheSession> session,
  int request_id,
  int handle,
  Pointer<OcheSecureOptions> options,
);

/// Goes on with a handshake, whatever the certificate is.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Int64)>()
external int oche_trust(Pointer<OcheSession> session, int request_id, int handle);

/// Closes a TLS context.
@Native<Int64 Function(Pointer<OcheSession>, Int64, Int64)>()
external int oche_close(Pointer<OcheSession> session, int request_id, int handle);

/// What can be asked about TLS: `enum oche_tls_item`. Waits for the daemon, five seconds at most. The count of bytes, or a
/// code.
@Native<Int64 Function(Int64, Int64, Pointer<Uint8>, Int64)>()
external int oche_isolate_tls_info(int handle, int item, Pointer<Uint8> out, int room);

/// [tcp_connect] with a limit in milliseconds, 0 for none.
@Native<Int64 Function(Int64, Pointer<Uint8>, Int64, Int64, Pointer<Uint8>, Int64, Int64, Int64)>()
external int oche_isolate_connect(
  int request_id,
  Pointer<Uint8> addr,
  int addr_len,
  int port,
  Pointer<Uint8> source_addr,
  int source_addr_len,
  int source_port,
  int timeout_ms,
);

/// [tcp_get_local_address] with the scope id: 4, 16 or 20 bytes.
@Native<Int64 Function(Int64, Pointer<Uint8>)>(isLeaf: true)
external int oche_isolate_get_local_address(int handle, Pointer<Uint8> out);

/// [tcp_get_remote_address] with the scope id: 4, 16 or 20 bytes.
@Native<Int64 Function(Int64, Pointer<Uint8>)>(isLeaf: true)
external int oche_isolate_get_remote_address(int handle, Pointer<Uint8> out);

/// [tcp_listen], for addresses with a scope id as well, and for a listener that, if it is `durable`, outlives its daemon.
@Native<Int64 Function(Int64, Pointer<Uint8>, Int64, Int64, Bool, Int64, Bool, Bool)>()
external int oche_isolate_listen(
  int request_id,
  Pointer<Uint8> addr,
  int addr_len,
  int port,
  bool v6_only,
  int backlog,
  bool shared,
  bool durable,
);

/// Gives up a request that is pending: it completes with [TCP_ERR_CLOSED], or still succeeds.
@Native<Int64 Function(Int64)>()
external int oche_isolate_cancel(int request_id);

/// A request that is pending completes with [TCP_ERR_TIMED_OUT] after so many milliseconds; 0 takes the limit away.
@Native<Int64 Function(Int64, Int64)>()
external int oche_isolate_limit(int request_id, int milliseconds);

/// [tcp_set_keep_alive] as a request.
@Native<Int64 Function(Int64, Int64, Bool)>(isLeaf: true)
external int oche_isolate_set_keep_alive(int request_id, int handle, bool enabled);

/// [tcp_set_no_delay] as a request.
@Native<Int64 Function(Int64, Int64, Bool)>(isLeaf: true)
external int oche_isolate_set_no_delay(int request_id, int handle, bool enabled);

/// [tcp_close], but what was not sent yet is dropped, and the peer sees a reset.
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int oche_isolate_abort(int request_id, int handle);

/// Sets an option by the system's numbers. Waits for the daemon, five seconds at most. A code, with `os_error`.
@Native<Int64 Function(Int64, Int64, Int64, Pointer<Uint8>, Int64, Pointer<Int32>)>()
external int oche_isolate_set_option(
  int handle,
  int level,
  int name,
  Pointer<Uint8> value,
  int size,
  Pointer<Int32> os_error,
);

/// Reads an option by the system's numbers. Waits for the daemon, five seconds at most. How many bytes the value has, or
/// a code, with `os_error`.
@Native<Int64 Function(Int64, Int64, Int64, Pointer<Uint8>, Int64, Pointer<Int32>)>()
external int oche_isolate_get_option(
  int handle,
  int level,
  int name,
  Pointer<Uint8> value,
  int size,
  Pointer<Int32> os_error,
);

/// How many of the bytes that have come behind the data of the last read [oche_isolate_take] would copy.
@Native<Int64 Function(Int64, Int64)>(isLeaf: true)
external int oche_isolate_ahead(int handle, int count);

/// Copies the first of these bytes to `into`, from `offset` on, as far as `count` bytes go; returns how many.
@Native<Int64 Function(Int64, Pointer<Uint8>, Int64, Int64)>(isLeaf: true)
external int oche_isolate_take(int handle, Pointer<Uint8> into, int offset, int count);

/// A token for the session of this isolate, to be given to [oche_isolate_release]; or `nullptr`.
@Native<Pointer<Void> Function()>()
external Pointer<Void> oche_isolate_guard();

/// Ends the session that the token is for, if it is still open, and frees the token.
@Native<Void Function(Pointer<Void>)>()
external void oche_isolate_release(Pointer<Void> guard);

/// Why the last [tcp_init] failed, until the next one. Static storage of the thread.
@Native<Pointer<Char> Function()>(isLeaf: true)
external Pointer<Char> oche_last_error();

/// A sentence about a TCP_ERR_ code. Static storage.
@Native<Pointer<Char> Function(Int64)>(isLeaf: true)
external Pointer<Char> oche_error_text(int code);

/// "TCP_ERR_CLOSED" for -9. Static storage.
@Native<Pointer<Char> Function(Int64)>(isLeaf: true)
external Pointer<Char> oche_error_name(int code);

/// For example "0.1.0". Static storage.
@Native<Pointer<Char> Function()>(isLeaf: true)
external Pointer<Char> oche_version();
