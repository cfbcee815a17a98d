/// TCP connections.
library;

import 'dart:async';
import 'dart:io' show InternetAddress;
import 'dart:typed_data';

import 'bindings.dart';
import 'endpoints.dart';
import 'exceptions.dart';
import 'incoming.dart';
import 'session.dart';
import 'transport.dart';

/// A TCP connection, which the daemon has.
///
/// ```dart
/// final connection = await Connection.connect(InternetAddress.loopbackIPv4, 7);
/// await connection.write(utf8.encode('hello\n'));
/// await connection.closeWrite();
/// await connection.stream.forEach(stdout.add);
/// await connection.close();
/// ```
///
/// What fails, fails with an [OcheException].
///
/// A read that is pending keeps the isolate alive, an idle connection does not. A connection that the program has
/// forgotten without closing it is closed when it is collected.
final class Connection {
  Connection._(this._transport) {
    _finalizer.attach(this, _transport, detach: this);
  }

  final Transport _transport;

  static final _finalizer = Finalizer<Transport>((transport) => unawaited(transport.close()));

  /// Connects to [address] and [port].
  ///
  /// [sourceAddress] and [sourcePort] choose this end; by default the system does. Fails with a [TimedOutException] after
  /// [timeout], also if the daemon does not answer; without one, when the system gives up, which takes minutes.
  static Future<Connection> connect(
    InternetAddress address,
    int port, {
    InternetAddress? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) async =>
      startConnect(
        address,
        port,
        sourceAddress: sourceAddress,
        sourcePort: sourcePort,
        timeout: timeout,
      ).connection;

  /// Like [connect], but can be given up. Throws an [OcheException] if there is no library.
  static ConnectionAttempt startConnect(
    InternetAddress address,
    int port, {
    InternetAddress? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) {
    final session = Session.open();
    return ConnectionAttempt._(
      OneRequest(
        session,
        (id) => session.connect(id, address, port, sourceAddress, sourcePort, timeout),
        (handle, ends) => Connection._(Transport(session, handle, Endpoints(ends, address))),
        (code, errno) => _connectFailure(code, errno, address, port, sourceAddress, sourcePort),
      ),
    );
  }

  /// Names this end where it is this end that cannot be had.
  static OcheException _connectFailure(
    int code,
    int errno,
    InternetAddress address,
    int port,
    InternetAddress? source,
    int sourcePort,
  ) {
    final isOtherFamily = code == TCP_ERR_INVALID_ADDRESS && source != null && source.type != address.type;
    if (!isOtherFamily && code != TCP_ERR_BIND_FAILED) {
      return Session.failure(code, 'connect', errno, address, port);
    }
    return OcheException.of(
      code,
      'connect',
      errno: isOtherFamily ? _familyNotSupported : errno,
      address: source,
      port: sourcePort == 0 ? null : sourcePort,
    );
  }

  static const _familyNotSupported = 97; // EAFNOSUPPORT

  /// This end of the connection. Known also when it is closed or lost, as are the other three.
  InternetAddress get localAddress => _transport.endpoints.localAddress;

  /// The port of this end.
  int get localPort => _transport.endpoints.localPort;

  /// The other end of the connection.
  InternetAddress get remoteAddress => _transport.endpoints.remoteAddress;

  /// The port of the other end.
  int get remotePort => _transport.endpoints.remotePort;

  /// The next bytes that have come, at least one; null at the end of the stream.
  ///
  /// The list is the caller's. One read at a time: another one throws a [StateError]. A connection that broke fails
  /// with a [ReadFailedException]: what was read before may be incomplete.
  Future<Uint8List?> read() {
    final read = _Read();
    final refusal = _transport.read(read, this);
    if (refusal != null) return Future.error(refusal, StackTrace.current);
    return read.completer.future;
  }

  /// All that is still to come: [read] until the end, as a stream that can be listened to once.
  ///
  /// While it is paused nothing is read, and the peer has to wait when the buffers between are full. A subscription
  /// that is cancelled leaves the connection open. If a [read] is pending when somebody begins to listen or resumes,
  /// the stream ends with a [StateError].
  late final Stream<Uint8List> stream = Incoming(_transport, this).stream;

  /// Writes [bytes], from [offset] on, or [count] of them.
  ///
  /// Throws a [RangeError] if there are no such bytes. They go out in the order of the calls. Completes when there is
  /// room for more: soon, unless the peer is slow; a program that waits for it never holds more than half a megabyte
  /// per connection. The bytes must not change before that.
  ///
  /// Fails with a [WriteFailedException] if the connection is broken; if that shows only later, the next write, [flush]
  /// or [closeWrite] fails.
  Future<void> write(List<int> bytes, [int offset = 0, int? count]) {
    final end = RangeError.checkValidRange(
      offset,
      count == null ? null : offset + count,
      bytes.length,
    );
    final data = bytes is Uint8List ? bytes : Uint8List.fromList(bytes);
    return _transport.write(data, offset, end - offset);
  }

  /// Completes when all that was written has been handed to the system of the daemon.
  Future<void> flush() => _transport.flush();

  /// Sends the end of the stream behind all that was written. Reading goes on.
  Future<void> closeWrite() => _transport.closeWrite();

  /// Sends what was written, then closes. A pending [read] fails with a [ClosedException].
  ///
  /// Never fails; [flush] first, to know whether all could be sent. Waits as long as the peer takes nothing; [destroy]
  /// does not.
  Future<void> close() {
    _finalizer.detach(this);
    return _transport.close();
  }

  /// Closes without waiting. What was written is still sent, as far as it has left this isolate: half a megabyte, or as
  /// much as eight if no other connection has so much to send. If there is more, that is dropped, and the peer sees a reset
  /// instead of the end of the stream.
  void destroy() {
    _finalizer.detach(this);
    _transport.destroy();
  }

  /// Closes now, with a reset. What has not been sent is dropped, and what the peer has not read by then it may lose, too.
  void abort() {
    _finalizer.detach(this);
    _transport.abort();
  }

  /// Whether the system probes the peer when nothing is sent for long (SO_KEEPALIVE). False at first.
  bool get keepAlive => _keepAlive = _flag(tcp_get_keep_alive(_transport.handle), 'keepAlive', _keepAlive);

  /// Whether small writes go out at once instead of being collected while something is unacknowledged (TCP_NODELAY).
  /// False at first.
  bool get noDelay => _noDelay = _flag(tcp_get_no_delay(_transport.handle), 'noDelay', _noDelay);

  bool _keepAlive = false, _noDelay = false;

  /// What it was at [last], if the connection was lost.
  bool _flag(int result, String what, bool last) {
    if (result >= 0) return result == 1;
    return _transport.isClosed ? throw _transport.gone(what) : last;
  }

  /// Sets [keepAlive].
  Future<void> setKeepAlive(bool enabled) => _transport
      .setOption((id, handle) => oche_isolate_set_keep_alive(id, handle, enabled))
      .then((_) => _keepAlive = enabled);

  /// Sets [noDelay].
  Future<void> setNoDelay(bool enabled) => _transport
      .setOption((id, handle) => oche_isolate_set_no_delay(id, handle, enabled))
      .then((_) => _noDelay = enabled);
}

/// A connect that is under way.
final class ConnectionAttempt {
  ConnectionAttempt._(this._request);

  final OneRequest<Connection> _request;

  /// The connection, when it is made.
  Future<Connection> get connection => _request.outcome;

  /// Gives it up: [connection] fails with a [ClosedException], unless the connection was made at the same time.
  void cancel() {
    if (_request.isPending) oche_isolate_cancel(_request.id);
  }
}

/// For the package itself: the connection with the handle, which was accepted.
Connection connectionOf(Session session, int handle, Endpoints endpoints, Acceptor acceptor) =>
    Connection._(Transport(session, handle, endpoints, acceptor));

/// For the package itself: as a socket of dart:io is destroyed. What has left this isolate is sent, the rest is dropped.
void releaseConnection(Connection connection) {
  Connection._finalizer.detach(connection);
  connection._transport.release();
}

/// For the package itself.
Transport transportOf(Connection connection) => connection._transport;

final class _Read implements Reader {
  final completer = Completer<Uint8List?>.sync();

  @override
  void onData(Uint8List data) => completer.complete(data);

  @override
  void onEnd() => completer.complete(null);

  @override
  void onReadFailed(OcheException failure) => completer.completeError(failure, StackTrace.current);
}
