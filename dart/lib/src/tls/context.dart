/// What connections with TLS have in common.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:ffi';
import 'dart:io';
import 'dart:typed_data';

import '../bindings.dart';
import '../exceptions.dart';
import '../native.dart';
import '../session.dart';
import '../structs.dart';

/// Whether a server asks its clients for certificates.
enum ClientCertificate {
  /// It does not.
  notAsked,

  /// A client need not show one; if it does, it has to verify.
  mayShow,

  /// A client that shows none, or one that does not verify, is not accepted.
  mustShow,
}

/// Certificates, keys and trust, for TLS in the daemon. It has the verbs of dart:io's [SecurityContext], which can be
/// neither implemented nor read.
///
/// Files are read here, when the method is called, and go to the daemon with the first connection. What is changed after
/// that holds for connections that begin later, if [apply] has been called. What is wrong with certificates and keys is
/// said then: a [TlsFailedException] or an [InvalidArgumentException] with the words of the daemon.
final class TlsContext {
  /// One that trusts nobody yet, or, [withTrustedRoots], whom the daemon's system trusts.
  TlsContext({bool withTrustedRoots = false}) : _trustsSystem = withTrustedRoots;

  /// What is taken where none is given: a client that trusts whom the daemon's system trusts.
  static final TlsContext defaultContext = TlsContext(withTrustedRoots: true);

  final bool _trustsSystem;
  final _identities = <_Identity>[];
  Uint8List _chain = Uint8List(0);
  final _roots = BytesBuilder();
  List<String> _clientProtocols = const [];
  List<String> _serverProtocols = const [];

  /// The oldest version that is spoken; null: TLS 1.2.
  TlsProtocolVersion? minimumTlsProtocolVersion;

  /// Ciphers of TLS 1.2, as OpenSSL names them, with colons between them; null: OpenSSL's choice.
  String? ciphers;

  /// Cipher suites of TLS 1.3, the same.
  String? cipherSuites;

  /// Groups for the exchange of keys, the same.
  String? groups;

  /// Is never done: there is no renegotiation. dart:io's contexts have this.
  bool get allowLegacyUnsafeRenegotiation => false;

  set allowLegacyUnsafeRenegotiation(bool allowed) {
    if (allowed) throw UnsupportedError('the daemon never renegotiates');
  }

  // ---- who one is ----

  /// The certificate, and those between it and a root, from a [file] in PEM, or PKCS#12.
  void useCertificateChain(String file, {String? password}) =>
      useCertificateChainBytes(File(file).readAsBytesSync(), password: password);

  /// The same from bytes. The key comes with [usePrivateKeyBytes].
  void useCertificateChainBytes(List<int> chain, {String? password}) => _chain = Uint8List.fromList(chain);

  /// The key that belongs to the certificate, from a [file] in PEM, or PKCS#12.
  void usePrivateKey(String file, {String? password}) =>
      usePrivateKeyBytes(File(file).readAsBytesSync(), password: password);

  /// The same from bytes. It replaces what was said before of who this is.
  void usePrivateKeyBytes(List<int> key, {String? password}) {
    _identities.clear();
    addIdentity(_chain, key, password: password);
  }

  /// One more certificate with its key: a server shows that which is for the name that the client asks for, or the first.
  void addIdentity(List<int> chain, List<int> key, {String? password}) => _identities.add(
        // A PKCS#12 has both.
        _Identity(_isPem(chain) ? chain : const [], key, password),
      );

  static bool _isPem(List<int> bytes) => bytes.isNotEmpty && bytes[0] != 0x30; // where DER begins

  // ---- whom one trusts ----

  /// Trusts certificates from a [file] in PEM, beside those that are trusted already.
  void setTrustedCertificates(String file, {String? password}) =>
      setTrustedCertificatesBytes(File(file).readAsBytesSync(), password: password);

  /// The same from bytes.
  void setTrustedCertificatesBytes(List<int> certificates, {String? password}) => _roots
    ..add(certificates)
    ..addByte(10);

  /// Authorities that clients should have their certificates from. They are not told: a client shows what it has.
  void setClientAuthorities(String file, {String? password}) {}

  /// The same from bytes.
  void setClientAuthoritiesBytes(List<int> authorities, {String? password}) {}

  // ---- what is negotiated ----

  /// Protocols for ALPN, those that are liked most first: of a server, or of a client.
  void setAlpnProtocols(List<String> protocols, bool isServer) {
    _encodeProtocols(protocols); // what cannot be said is refused here
    if (isServer) {
      _serverProtocols = List.of(protocols);
    } else {
      _clientProtocols = List.of(protocols);
    }
  }

  static Uint8List _encodeProtocols(List<String> protocols) {
    final bytes = BytesBuilder();
    for (final protocol in protocols) {
      final name = utf8.encode(protocol);
      if (name.isEmpty || name.length > 255) {
        throw ArgumentError.value(protocol, 'protocols', 'a name has 1 to 255 bytes');
      }
      bytes
        ..addByte(name.length)
        ..add(name);
    }
    return bytes.takeBytes();
  }

  // ---- at the daemon ----

  final _made = <_Use, Future<_Made>>{};

  /// Makes what has been changed valid for connections to come, of servers that run as well: a certificate that has been
  /// renewed, say. Connections that are there go on. Fails if what is there now makes no sense, and then nothing changes.
  Future<void> apply() async {
    for (final MapEntry(key: use, value: pending) in _made.entries.toList()) {
      final made = await pending;
      await _request<void>(
        made.session,
        (id, options) => oche_tls_replace(oche_isolate_session(), id, made.handle, options),
        use,
        (_) {},
      );
    }
  }

  Future<_Made> _makeFor(Session session, _Use use) => _request(
        session,
        (id, options) => oche_tls_context(oche_isolate_session(), id, options),
        use,
        (handle) => _Made(session, handle),
      );

  Future<T> _request<T>(
    Session session,
    int Function(int id, Pointer<OcheTlsOptions> options) call,
    _Use use,
    T Function(int result) value,
  ) =>
      OneRequest<T>(
        session,
        (id) => Scratch.use((scratch) => call(id, _options(scratch, use))),
        (result, _) => value(result),
        (code, errno) => Session.failure(code, 'tlsContext', errno),
        failureInWords: (code, words) => OcheException.of(code, 'tlsContext', message: words),
      ).outcome;

  Pointer<OcheTlsOptions> _options(Scratch scratch, _Use use) {
    final options = scratch.allocateBytes(sizeOf<OcheTlsOptions>()).cast<OcheTlsOptions>();
    final roots = _roots.toBytes(), protocols = _encodeProtocols(use.protocols);
    options.ref
      ..size = sizeOf<OcheTlsOptions>()
      ..identities = _copyIdentities(scratch)
      ..identityCount = _identities.length
      ..trust = _trustsSystem ? _trustSystem : (roots.isEmpty ? _trustNobody : _trustOwn)
      ..roots = scratch.copy(roots)
      ..rootsLength = roots.length
      ..protocols = scratch.copy(protocols)
      ..protocolsLength = protocols.length
      ..versionMin = minimumTlsProtocolVersion == TlsProtocolVersion.tls1_3 ? _tls13 : 0
      ..ciphers = scratch.string(ciphers)
      ..suites = scratch.string(cipherSuites)
      ..groups = scratch.string(groups)
      ..clientCertificate = use.clientCertificate.index;
    return options;
  }

  // enum oche_tls_trust and enum oche_tls_version
  static const _trustSystem = 0, _trustOwn = 1, _trustNobody = 2, _tls13 = 0x0304;

  Pointer<OcheTlsIdentity> _copyIdentities(Scratch scratch) {
    if (_identities.isEmpty) return nullptr;
    final all = scratch.allocateBytes(_identities.length * sizeOf<OcheTlsIdentity>()).cast<OcheTlsIdentity>();
    for (final (i, identity) in _identities.indexed) {
      (all + i).ref
        ..chain = scratch.copy(identity.chain)
        ..chainLength = identity.chain.length
        ..key = scratch.copy(identity.key)
        ..keyLength = identity.key.length
        ..passphrase = scratch.string(identity.password);
    }
    return all;
  }
}

final class _Identity {
  _Identity(List<int> chain, List<int> key, this.password)
      : chain = Uint8List.fromList(chain),
        key = Uint8List.fromList(key);

  final Uint8List chain;
  final Uint8List key;
  final String? password;
}

/// What a context is used for: each use has one of its own at the daemon.
final class _Use {
  _Use(this.protocols, this.clientCertificate);

  final List<String> protocols;
  final ClientCertificate clientCertificate;

  late final _name = '${clientCertificate.index} ${protocols.join('\u0000')}';

  @override
  bool operator ==(Object other) => other is _Use && other._name == _name;

  @override
  int get hashCode => _name.hashCode;
}

/// A context at the daemon.
final class _Made {
  _Made(this.session, this.handle) {
    _finalizer.attach(this, (session, handle));
  }

  final Session session;
  final int handle;

  static final _finalizer = Finalizer<(Session, int)>((forgotten) {
    final (session, handle) = forgotten;
    OneRequest<void>(
      session,
      (id) => oche_close(oche_isolate_session(), id, handle),
      (_, __) {},
      (code, errno) => OcheException.of(code, 'close', errno: errno),
    ).outcome.ignore();
  });
}

/// For the package itself: runs [use] with the handle of a context for clients, or for servers, at the daemon. It may have
/// been lost with another daemon: then it is made anew, once.
Future<T> useContext<T>(
  TlsContext context,
  Session session,
  Future<T> Function(int handle) use, {
  required bool isServer,
  List<String>? protocols,
  ClientCertificate clientCertificate = ClientCertificate.notAsked,
}) async {
  final purpose = _Use(
    protocols ?? (isServer ? context._serverProtocols : context._clientProtocols),
    clientCertificate,
  );
  Future<_Made> find() {
    final made = context._made[purpose] ??= context._makeFor(session, purpose);
    return made.onError<Object>((failure, trace) {
      context._made.remove(purpose);
      return Future.error(failure, trace);
    });
  }

  final made = await find();
  try {
    return await use(made.handle);
  } on InvalidHandleException {
    context._made.remove(purpose);
    return use((await find()).handle);
  }
}
