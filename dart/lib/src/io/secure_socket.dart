/// dart:io's [SecureSocket], with TLS in the daemon.
library;

import 'dart:async';
import 'dart:io';

import '../connection.dart';
import '../exceptions.dart';
import '../tls/certificate.dart';
import '../tls/context.dart';
import '../tls/securing.dart';
import 'dialing.dart';
import 'socket.dart';

/// A [SecureSocket] that the daemon has: keys, certificates and what comes encrypted never get into this process.
///
/// A handshake that fails is a [TlsFailedException], which is a [HandshakeException].
final class OcheSecureSocket extends OcheSocket implements SecureSocket {
  OcheSecureSocket._(super.connection);

  Connection get _connection => connectionUnder(this);

  /// As [SecureSocket.connect]. Without a [context], or with [TlsContext.defaultContext], whom the daemon's system trusts is
  /// trusted. [timeout] is for all of it, the handshake included. [serverName] is what the certificate has to be for, if not
  /// [host].
  static Future<OcheSecureSocket> connect(
    Object? host,
    int port, {
    TlsContext? context,
    OnBadCertificate? onBadCertificate,
    List<String>? supportedProtocols,
    Object? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
    String? serverName,
  }) {
    final attempt = _Attempt(
      dial(host, port, sourceAddress, sourcePort),
      _securing(serverName ?? _nameOf(host), context, onBadCertificate, supportedProtocols),
    );
    final timer = timeout == null ? null : Timer(timeout, attempt.timeOut);
    return attempt.socket.whenComplete(() => timer?.cancel());
  }

  static Future<void> Function(Connection connection) _securing(
    String serverName,
    TlsContext? context,
    OnBadCertificate? onBadCertificate,
    List<String>? protocols,
  ) =>
      (connection) => connection.secure(
            serverName,
            context: context,
            onBadCertificate: onBadCertificate,
            protocols: protocols,
          );

  /// As [SecureSocket.startConnect].
  static Future<ConnectionTask<OcheSecureSocket>> startConnect(
    Object? host,
    int port, {
    TlsContext? context,
    OnBadCertificate? onBadCertificate,
    List<String>? supportedProtocols,
    Object? sourceAddress,
    int sourcePort = 0,
    String? serverName,
  }) {
    final attempt = _Attempt(
      dial(host, port, sourceAddress, sourcePort),
      _securing(serverName ?? _nameOf(host), context, onBadCertificate, supportedProtocols),
    );
    return Future.value(ConnectionTask.fromSocket(attempt.socket, attempt.cancel));
  }

  /// As [SecureSocket.secure], for sockets of the daemon: `Socket.connect` makes such inside of `runWithOche`. [socket] is of
  /// no use any more. Its subscription, if there is one, should be paused; what it has not got yet is TLS's.
  static Future<OcheSecureSocket> secure(
    Socket socket, {
    Object? host,
    TlsContext? context,
    OnBadCertificate? onBadCertificate,
    List<String>? supportedProtocols,
  }) async {
    final ours = _ours(socket);
    final name = host ?? ours.remoteAddress.host;
    final (connection, held) = await detachConnection(ours);
    return _finish(
      connection,
      connection.secure(
        _nameOf(name),
        context: context,
        onBadCertificate: onBadCertificate,
        protocols: supportedProtocols,
        unread: held,
      ),
    );
  }

  /// As [SecureSocket.secureServer], for sockets of the daemon. [bufferedData] is what was read of the client's TLS already.
  static Future<OcheSecureSocket> secureServer(
    Socket socket,
    TlsContext context, {
    List<int>? bufferedData,
    bool requestClientCertificate = false,
    bool requireClientCertificate = false,
    List<String>? supportedProtocols,
  }) async {
    final (connection, held) = await detachConnection(_ours(socket));
    return _finish(
      connection,
      connection.secureServer(
        context,
        clientCertificate: clientCertificateOf(requestClientCertificate, requireClientCertificate),
        protocols: supportedProtocols,
        unread: [...?bufferedData, ...held],
      ),
    );
  }

  /// Nobody else has the connection any more, to close it if TLS fails.
  static Future<OcheSecureSocket> _finish(Connection connection, Future<void> secured) async {
    try {
      await secured;
      return OcheSecureSocket._(connection);
    } catch (_) {
      connection.destroy();
      rethrow;
    }
  }

  static OcheSocket _ours(Socket socket) => switch (socket) {
        OcheSocket() => socket,
        _ => throw ArgumentError.value(
            socket,
            'socket',
            'is not one of the daemon: connect it by OcheSocket.connect, or by Socket.connect inside of runWithOche',
          ),
      };

  static String _nameOf(Object? host) => host is InternetAddress ? host.host : host! as String;

  late final PeerCertificate? _certificate = _connection.tls?.peerCertificate;
  late final String? _protocol = _connection.tls?.protocol;

  /// What was agreed upon; null if the connection is gone.
  TlsSession? get tls => _connection.tls;

  /// Null if the peer has shown none, or the connection was gone when this was asked for the first time.
  @override
  X509Certificate? get peerCertificate => _certificate;

  @override
  String? get selectedProtocol => _protocol;

  @override
  @Deprecated('Not implemented')
  void renegotiate({
    bool useSessionCache = true,
    bool requestClientCertificate = false,
    bool requireClientCertificate = false,
  }) {}
}

/// For the package itself: how dart:io says it.
ClientCertificate clientCertificateOf(bool isRequested, bool isRequired) =>
    isRequired ? ClientCertificate.mustShow : (isRequested ? ClientCertificate.mayShow : ClientCertificate.notAsked);

/// For the package itself: the socket of a connection that has TLS.
OcheSecureSocket secureSocketOf(Connection connection) => OcheSecureSocket._(connection);

/// A connect, and the handshake behind it.
final class _Attempt {
  _Attempt(this._dialing, Future<void> Function(Connection connection) secure) {
    _dialing.connection.then(
      (connection) {
        if (_completer.isCompleted) return connection.destroy();
        _connection = connection;
        secure(connection).then(
          (_) => _complete(connection),
          onError: (Object failure, StackTrace trace) {
            connection.destroy();
            _fail(failure, trace);
          },
        );
      },
      onError: _fail,
    );
  }

  final Dialing _dialing;
  final _completer = Completer<OcheSecureSocket>();
  Connection? _connection; // which is shaking hands

  Future<OcheSecureSocket> get socket => _completer.future;

  void _complete(Connection connection) {
    if (_completer.isCompleted) return connection.destroy();
    _completer.complete(OcheSecureSocket._(connection));
  }

  void _fail(Object failure, StackTrace trace) {
    if (!_completer.isCompleted) _completer.completeError(failure, trace);
  }

  void cancel() => _giveUp(isTimeOut: false);

  void timeOut() => _giveUp(isTimeOut: true);

  /// The failure is that of the connect, whichever of the two it was.
  void _giveUp({required bool isTimeOut}) {
    if (_completer.isCompleted) return;
    _fail(_dialing.failure(isTimeOut: isTimeOut), StackTrace.current);
    _dialing.cancel();
    _connection?.destroy();
  }
}
