/// HTTP clients that have TLS in the daemon, and can go through a proxy.
///
/// For https through a proxy, [HttpClient] connects to the proxy, asks it for a tunnel, and upgrades the connection by
/// [SecureSocket.secure], which takes dart:io's own sockets only. Nothing that a socket is asked says what it is for; so
/// requests are made in a zone that knows whether they are for https. A [Socket] that is connected there is one for a
/// proxy, because otherwise the client makes a [SecureSocket] from the beginning.
library;

import 'dart:async';
import 'dart:io';

import 'destination.dart';
import 'secure_socket.dart';

/// Overrides for [HttpClient] that belong to `OcheOverrides`: with them https through a proxy works. `runWithOche` has
/// both; without it:
///
/// ```dart
/// IOOverrides.global = OcheOverrides();
/// HttpOverrides.global = OcheHttpOverrides(HttpOverrides.current);
/// ```
base class OcheHttpOverrides extends HttpOverrides {
  /// Clients are made, and proxies found, by [previous] if there are any, else by those that are global.
  OcheHttpOverrides([HttpOverrides? previous])
      : _previous = previous is OcheHttpOverrides ? previous._previous : previous;

  final HttpOverrides? _previous;

  HttpOverrides? get _others {
    final others = _previous ?? Zone.root.run(() => HttpOverrides.current);
    return others is OcheHttpOverrides ? others._previous : others;
  }

  @override
  HttpClient createHttpClient(SecurityContext? context) {
    final client = _others?.createHttpClient(context) ?? super.createHttpClient(context);
    return client is _OcheHttpClient ? client : _OcheHttpClient(client, context);
  }

  @override
  String findProxyFromEnvironment(Uri url, Map<String, String>? environment) {
    _Opening.note(url);
    return _others?.findProxyFromEnvironment(url, environment) ?? super.findProxyFromEnvironment(url, environment);
  }
}

/// Whether a socket that is connected now may be upgraded by [SecureSocket.secure].
bool isUpgradeExpected() => _Opening._current?._isSecure ?? false;

/// What a zone knows of the requests that are made in it.
final class _Opening {
  static final _key = Object();

  /// One of them was for https. Once it is so it stays so, for a client may connect for it later.
  bool _isSecure = false;

  static _Opening? get _current => Zone.current[_key] as _Opening?;

  /// A request for [url] is made in this zone: that of the application, or one that follows a redirection.
  static void note(Uri url) {
    if (url.isScheme('https')) _current?._isSecure = true;
  }

  static R run<R>(R Function() open, [Uri? url]) => runZoned(() {
        if (url != null) note(url);
        return open();
      }, zoneValues: {_key: _Opening()});
}

/// A client that makes its requests in zones of their own.
final class _OcheHttpClient implements HttpClient {
  _OcheHttpClient(this._client, this._context) {
    _client.connectionFactory = _connect;
  }

  final HttpClient _client;

  /// For TLS by dart:io.
  final SecurityContext? _context;

  bool Function(X509Certificate certificate, String host, int port)? _onBadCertificate;
  void Function(String line)? _keyLog;

  /// As the client would do it by itself, but with TLS in the daemon, where it can be.
  Future<ConnectionTask<Socket>> _connect(Uri url, String? proxyHost, int? proxyPort) {
    if (proxyHost != null) return Socket.startConnect(proxyHost, proxyPort!);
    if (!url.isScheme('https')) return Socket.startConnect(url.host, url.port);
    final callback = _onBadCertificate;
    final onBadCertificate =
        callback == null ? null : (X509Certificate certificate) => callback(certificate, url.host, url.port);
    final isOurs = _context == null && _keyLog == null && isServedByDaemon(url.host, url.port);
    return isOurs
        ? OcheSecureSocket.startConnect(url.host, url.port, onBadCertificate: onBadCertificate)
        : SecureSocket.startConnect(
            url.host,
            url.port,
            context: _context,
            onBadCertificate: onBadCertificate,
            keyLog: _keyLog,
          );
  }

  @override
  Future<HttpClientRequest> open(String method, String host, int port, String path) =>
      _Opening.run(() => _client.open(method, host, port, path));

  @override
  Future<HttpClientRequest> openUrl(String method, Uri url) => _Opening.run(() => _client.openUrl(method, url), url);

  @override
  Future<HttpClientRequest> get(String host, int port, String path) =>
      _Opening.run(() => _client.get(host, port, path));

  @override
  Future<HttpClientRequest> getUrl(Uri url) => _Opening.run(() => _client.getUrl(url), url);

  @override
  Future<HttpClientRequest> post(String host, int port, String path) =>
      _Opening.run(() => _client.post(host, port, path));

  @override
  Future<HttpClientRequest> postUrl(Uri url) => _Opening.run(() => _client.postUrl(url), url);

  @override
  Future<HttpClientRequest> put(String host, int port, String path) =>
      _Opening.run(() => _client.put(host, port, path));

  @override
  Future<HttpClientRequest> putUrl(Uri url) => _Opening.run(() => _client.putUrl(url), url);

  @override
  Future<HttpClientRequest> delete(String host, int port, String path) =>
      _Opening.run(() => _client.delete(host, port, path));

  @override
  Future<HttpClientRequest> deleteUrl(Uri url) => _Opening.run(() => _client.deleteUrl(url), url);

  @override
  Future<HttpClientRequest> patch(String host, int port, String path) =>
      _Opening.run(() => _client.patch(host, port, path));

  @override
  Future<HttpClientRequest> patchUrl(Uri url) => _Opening.run(() => _client.patchUrl(url), url);

  @override
  Future<HttpClientRequest> head(String host, int port, String path) =>
      _Opening.run(() => _client.head(host, port, path));

  @override
  Future<HttpClientRequest> headUrl(Uri url) => _Opening.run(() => _client.headUrl(url), url);

  @override
  set findProxy(String Function(Uri url)? find) => _client.findProxy = find == null
      ? null
      : (url) {
          _Opening.note(url); // before the client connects, also when it follows a redirection
          return find(url);
        };

  // ---- what is the client's alone ----

  @override
  Duration get idleTimeout => _client.idleTimeout;

  @override
  set idleTimeout(Duration timeout) => _client.idleTimeout = timeout;

  @override
  Duration? get connectionTimeout => _client.connectionTimeout;

  @override
  set connectionTimeout(Duration? timeout) => _client.connectionTimeout = timeout;

  @override
  int? get maxConnectionsPerHost => _client.maxConnectionsPerHost;

  @override
  set maxConnectionsPerHost(int? count) => _client.maxConnectionsPerHost = count;

  @override
  bool get autoUncompress => _client.autoUncompress;

  @override
  set autoUncompress(bool enabled) => _client.autoUncompress = enabled;

  @override
  String? get userAgent => _client.userAgent;

  @override
  set userAgent(String? name) => _client.userAgent = name;

  @override
  set authenticate(Future<bool> Function(Uri url, String scheme, String? realm)? authenticate) =>
      _client.authenticate = authenticate;

  @override
  void addCredentials(Uri url, String realm, HttpClientCredentials credentials) =>
      _client.addCredentials(url, realm, credentials);

  @override
  set connectionFactory(
    Future<ConnectionTask<Socket>> Function(Uri url, String? proxyHost, int? proxyPort)? factory,
  ) =>
      _client.connectionFactory = factory ?? _connect;

  @override
  set authenticateProxy(
    Future<bool> Function(String host, int port, String scheme, String? realm)? authenticate,
  ) =>
      _client.authenticateProxy = authenticate;

  @override
  void addProxyCredentials(String host, int port, String realm, HttpClientCredentials credentials) =>
      _client.addProxyCredentials(host, port, realm, credentials);

  @override
  set badCertificateCallback(
    bool Function(X509Certificate certificate, String host, int port)? callback,
  ) =>
      _client.badCertificateCallback = _onBadCertificate = callback;

  @override
  set keyLog(void Function(String line)? log) => _client.keyLog = _keyLog = log;

  @override
  void close({bool force = false}) => _client.close(force: force);

  /// For what later versions of dart:io add to the interface.
  @override
  dynamic noSuchMethod(Invocation invocation) => super.noSuchMethod(invocation);
}
