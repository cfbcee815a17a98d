/// dart:io's [SecureServerSocket], with TLS in the daemon.
library;

import 'dart:async';
import 'dart:io';

import '../connection.dart';
import '../exceptions.dart';
import '../listener.dart';
import '../session.dart';
import '../tls/context.dart';
import 'resolve.dart';
import 'secure_socket.dart';

/// A [SecureServerSocket] that the daemon has: its sockets are [OcheSecureSocket]s, whose handshakes are done. Handshakes
/// are made beside each other, each has ten seconds, and those that fail are nobody's business but the daemon's log's.
///
/// It is a [ServerSocket], so that [HttpServer.listenOn] takes it. If the daemon is lost, it goes on at another one.
final class OcheSecureServerSocket extends Stream<Socket> implements ServerSocket {
  OcheSecureServerSocket._(this._bind, this._listener);

  final Future<Listener> Function(InternetAddress address, int port) _bind;
  Listener _listener;
  bool _isClosed = false;
  int _accepting = 0;
  bool _isBinding = false; // anew

  late final _controller = StreamController<Socket>(
    sync: true,
    onListen: _fill,
    onResume: _fill,
    onCancel: close,
  );

  /// As [SecureServerSocket.bind], with the certificate of [context].
  static Future<OcheSecureServerSocket> bind(
    Object? address,
    int port,
    TlsContext context, {
    int backlog = 0,
    bool v6Only = false,
    bool requestClientCertificate = false,
    bool requireClientCertificate = false,
    List<String>? supportedProtocols,
    bool shared = false,
  }) async {
    checkPort(port);
    if (backlog < 0) throw ArgumentError.value(backlog, 'backlog', 'must not be negative');
    final session = Session.open();
    Future<Listener> bind(InternetAddress address, int port) => useContext(
          context,
          session,
          (handle) => Listener.bindWithTls(
            session,
            address,
            port,
            handle,
            backlog: backlog,
            v6Only: v6Only,
            shared: shared,
          ),
          isServer: true,
          protocols: supportedProtocols,
          clientCertificate: clientCertificateOf(requestClientCertificate, requireClientCertificate),
        );
    final addresses = await resolve(address);
    return OcheSecureServerSocket._(bind, await bind(addresses.first, port));
  }

  @override
  InternetAddress get address => _listener.address;

  @override
  int get port => _listener.port;

  @override
  StreamSubscription<Socket> listen(
    void Function(Socket socket)? onData, {
    Function? onError,
    void Function()? onDone,
    bool? cancelOnError,
  }) =>
      _controller.stream.listen(onData, onError: onError, onDone: onDone, cancelOnError: cancelOnError);

  // ---- accepting ----

  static const _atOnce = 16;

  void _fill() {
    while (_accepting < _atOnce && _controller.hasListener && !_controller.isPaused && !_isClosed && !_isBinding) {
      _accepting++;
      final listener = _listener;
      listener.accept().then(_onConnection, onError: (Object failure) => _onFailure(listener, failure));
    }
  }

  void _onConnection(Connection connection) {
    _accepting--;
    if (!_controller.hasListener || _isClosed) return connection.destroy();
    _controller.add(secureSocketOf(connection));
    _fill();
  }

  void _onFailure(Listener listener, Object failure) {
    _accepting--;
    if (_isClosed || !identical(listener, _listener)) return;
    if (failure is! DaemonLostException) return _fail(failure);
    // The accepts of the lost listener fail one after the other; the last one begins anew.
    if (_accepting == 0) unawaited(_bindAgain());
  }

  Future<void> _bindAgain() async {
    if (_isBinding) return;
    _isBinding = true;
    try {
      final listener = await _bind(_listener.address, _listener.port);
      _isBinding = false;
      if (_isClosed) return await listener.close();
      _listener = listener;
      _fill();
    } on OcheException catch (failure) {
      _fail(failure);
    }
  }

  void _fail(Object failure) {
    if (_isClosed) return;
    _listener.close().ignore();
    _isClosed = true;
    _controller.addError(failure);
    unawaited(_controller.close());
  }

  @override
  Future<ServerSocket> close() async {
    if (!_isClosed) {
      _isClosed = true;
      unawaited(_controller.close());
      await _listener.close();
    }
    return this;
  }
}
