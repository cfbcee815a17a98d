/// TLS on connections.
library;

import 'dart:async';
import 'dart:io' show X509Certificate;
import 'dart:typed_data';

import '../bindings.dart';
import '../connection.dart';
import '../exceptions.dart';
import '../transport.dart';
import 'certificate.dart';
import 'context.dart';

/// Says whether a certificate that does not verify is good enough. The handshake waits meanwhile.
typedef OnBadCertificate = bool Function(X509Certificate certificate);

/// Puts TLS on connections.
extension SecureConnection on Connection {
  /// Goes on with TLS, as a client of the server [serverName], a name or an address, which its certificate has to be for.
  ///
  /// Nothing may be read at the same time, and nothing be written until this completes; what was written before is sent
  /// before. What has come of the other side's TLS already, and was not read, is TLS's; so is [unread], which was.
  ///
  /// Fails with a [TlsFailedException], whose message says why, if the handshake fails, and with a [TimedOutException]
  /// after [timeout]; the connection is closed then.
  Future<void> secure(
    String serverName, {
    TlsContext? context,
    OnBadCertificate? onBadCertificate,
    List<String>? protocols,
    List<int>? unread,
    Duration? timeout,
  }) =>
      _orGone(
        useContext(
          context ?? TlsContext.defaultContext,
          transportOf(this).session,
          (handle) => _secure(handle, serverName, onBadCertificate, unread, timeout),
          isServer: false,
          protocols: protocols,
        ),
      );

  /// The same as a server, with the certificate of [context].
  Future<void> secureServer(
    TlsContext context, {
    ClientCertificate clientCertificate = ClientCertificate.notAsked,
    List<String>? protocols,
    List<int>? unread,
    Duration? timeout,
  }) =>
      _orGone(
        useContext(
          context,
          transportOf(this).session,
          (handle) => _secure(handle, null, null, unread, timeout),
          isServer: true,
          protocols: protocols,
          clientCertificate: clientCertificate,
        ),
      );

  /// A handle that is not valid with a context that is new is this connection's.
  Future<void> _orGone(Future<void> secured) => secured.onError<InvalidHandleException>(
        (_, trace) => Future.error(transportOf(this).gone('secure'), trace),
      );

  Future<void> _secure(
    int context,
    String? serverName,
    OnBadCertificate? onBadCertificate,
    List<int>? unread,
    Duration? timeout,
  ) async {
    final transport = transportOf(this);
    final watch = Stopwatch()..start();
    final objection = await transport.secure(
      context,
      serverName: serverName,
      unread: unread,
      asks: onBadCertificate != null,
      timeout: timeout,
    );
    if (objection == null) return;
    final certificate = PeerCertificate.of(transport.handle);
    var isGood = false;
    try {
      isGood = certificate != null && onBadCertificate!(certificate);
    } finally {
      if (!isGood) destroy();
    }
    if (!isGood) throw transport.tlsFailure(TCP_ERR_TLS_FAILED, objection);
    await transport.trust(timeout == null ? null : timeout - watch.elapsed);
  }

  /// What was agreed upon; null for a connection without TLS, or one that is gone. Each of its getters waits for the daemon.
  TlsSession? get tls {
    final handle = transportOf(this).handle;
    return TlsItem.version.textOf(handle) == null ? null : TlsSession._(handle);
  }
}

/// What two sides have agreed upon. What is not known, or not any more because the connection is gone, is null.
final class TlsSession {
  TlsSession._(this._handle);

  final int _handle;

  /// "TLSv1.3", for example.
  String? get version => TlsItem.version.textOf(_handle);

  /// "TLS_AES_128_GCM_SHA256", for example.
  String? get cipher => TlsItem.cipher.textOf(_handle);

  /// "x25519", for example.
  String? get group => TlsItem.group.textOf(_handle);

  /// "h2", for example; null if no protocol was agreed upon.
  String? get protocol => TlsItem.protocol.textOf(_handle);

  /// The name of the server that the client has asked for.
  String? get serverName => TlsItem.serverName.textOf(_handle);

  /// Whether a session was resumed, which saves most of a handshake.
  bool get isResumed => TlsItem.resumed.textOf(_handle) != null;

  /// What is wrong with the peer's certificate, which was accepted all the same.
  String? get objection => TlsItem.verification.textOf(_handle);

  /// Why TLS has failed since, an alert of the other side for example.
  String? get failure => TlsItem.failure.textOf(_handle);

  /// The peer's certificate; null if it has shown none.
  PeerCertificate? get peerCertificate => PeerCertificate.of(_handle);

  /// What this side has shown, in DER.
  Uint8List? get ownCertificate => TlsItem.ownCertificate.of(_handle);
}
