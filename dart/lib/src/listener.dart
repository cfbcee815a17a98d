/// Listening for TCP connections.
library;

import 'dart:async';
import 'dart:io' show InternetAddress;

import 'address.dart';
import 'bindings.dart';
import 'connection.dart';
import 'endpoints.dart';
import 'exceptions.dart';
import 'session.dart';
import 'transport.dart';

/// A TCP port that takes connections.
///
/// ```dart
/// final listener = await Listener.bind(InternetAddress.loopbackIPv4, 0);
/// while (true) {
///   final connection = await listener.accept();
///   unawaited(serve(connection));
/// }
/// ```
///
/// What fails, fails with an [OcheException].
///
/// An accept that is pending keeps the isolate alive. A listener that the program has forgotten is closed when it is
/// collected.
final class Listener {
  Listener._(this._session, this._handle, this._endpoints) {
    _finalizer.attach(this, (_session, _handle), detach: this);
  }

  final Session _session;
  final int _handle;
  final Endpoints _endpoints;
  final _acceptor = Acceptor();
  Future<void>? _closed;

  static final _finalizer = Finalizer<(Session, int)>(
    (forgotten) => unawaited(_close(forgotten.$1, forgotten.$2, force: false)),
  );

  /// The address that it is bound to; the object that [bind] was given, if it is the same address.
  InternetAddress get address => _endpoints.localAddress;

  /// The port that it listens on.
  int get port => _endpoints.localPort;

  /// Listens on [address] and [port]; 0 lets the system choose the port.
  ///
  /// [backlog] is how many connections may wait for an [accept], 0 as many as the system allows. An IPv6 listener takes
  /// IPv4 connections too unless it is [v6Only]. [shared] listeners of the same user may use the same address and port,
  /// in other isolates and other processes too: connections are spread over them.
  ///
  /// When the daemon is lost the listener is lost with it, and an [accept] fails with a [DaemonLostException]. A [durable]
  /// one is opened again at another daemon, which is started if need be, with the same options and at the same port, and
  /// pending accepts go on to wait. They fail, for good, if that cannot be: with a [BindFailedException] if somebody has
  /// taken the port meanwhile, with a [DaemonUnavailableException] if there is no daemon for ten seconds. Connections are
  /// lost in any case.
  static Future<Listener> bind(
    InternetAddress address,
    int port, {
    int backlog = 0,
    bool v6Only = false,
    bool shared = false,
    bool durable = false,
  }) async {
    final session = Session.open();
    return OneRequest(
      session,
      (id) => session.listen(
        id,
        address,
        port,
        v6Only: v6Only,
        backlog: backlog,
        shared: shared,
        durable: durable,
      ),
      (handle, ends) => Listener._(session, handle, Endpoints(ends, address)),
      (code, errno) => Session.failure(code, 'listen', errno, address, port),
    ).outcome;
  }

  /// For the package itself.
  static Future<Listener> bindWithTls(
    Session session,
    InternetAddress address,
    int port,
    int context, {
    required int backlog,
    required bool v6Only,
    required bool shared,
  }) =>
      OneRequest(
        session,
        (id) => session.listenWithTls(id, address, port, context, v6Only: v6Only, backlog: backlog, shared: shared),
        (handle, ends) => Listener._(session, handle, Endpoints(ends, address)),
        (code, errno) => code == TCP_ERR_INVALID_HANDLE
            ? OcheException.of(code, 'listen') // that of the context
            : Session.failure(code, 'listen', errno, address, port),
      ).outcome;

  /// Takes the next connection. Several accepts may be pending; they are served in their order.
  Future<Connection> accept() => OneRequest(
        _session,
        (id) => tcp_accept(id, _handle),
        (handle, ends) => connectionOf(_session, handle, Endpoints(ends, address), _acceptor),
        _acceptFailure, // refers to this listener, which therefore is not collected meanwhile
      ).outcome;

  OcheException _acceptFailure(int code, int errno) {
    final gone = _closed == null ? TCP_ERR_DAEMON_LOST : TCP_ERR_CLOSED;
    return OcheException.of(
      code == TCP_ERR_INVALID_HANDLE ? gone : code,
      'accept',
      errno: errno,
      address: address,
      port: port,
    );
  }

  /// The connections as they come, for one subscriber; when it cancels, the listener is closed.
  ///
  /// While it is paused none are accepted, but for the few that are on their way.
  late final Stream<Connection> stream = _AcceptStream(this)._controller.stream;

  /// Stops listening. Pending accepts fail with a [ClosedException]. Connections that were accepted live on, unless
  /// [force] closes them, too. Never fails.
  Future<void> close({bool force = false}) {
    if (_closed case final closed?) return closed;
    _finalizer.detach(this);
    _acceptor.closesAll = force;
    return _closed = _close(_session, _handle, force: force);
  }

  static Future<void> _close(Session session, int handle, {required bool force}) => OneRequest<void>(
        session,
        (id) => tcp_listener_close(id, handle, force),
        (_, __) {},
        (code, errno) => OcheException.of(code, 'close', errno: errno),
      ).outcome.catchError((Object _) {}, test: (error) => error is OcheException); // gone anyway
}

/// Keeps some accepts pending, so that connections that come together are taken together.
final class _AcceptStream {
  _AcceptStream(this._listener);

  static const _atOnce = 16;

  final Listener _listener;
  int _pending = 0;

  late final _controller = StreamController<Connection>(
    sync: true,
    onListen: _fill,
    onResume: _fill,
    onCancel: _listener.close,
  );

  void _fill() {
    while (_pending < _atOnce && _controller.hasListener && !_controller.isPaused && !_controller.isClosed) {
      _pending++;
      _listener.accept().then(_onConnection, onError: _onFailure);
    }
  }

  void _onConnection(Connection connection) {
    _pending--;
    if (_controller.hasListener) {
      _controller.add(connection);
      _fill();
    } else {
      connection.destroy();
    }
  }

  void _onFailure(Object failure) {
    _pending--;
    if (_controller.isClosed) return;
    if (_listener._closed == null) _controller.addError(failure);
    unawaited(_controller.close());
  }
}
