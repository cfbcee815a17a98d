/// dart:io's [Socket] on top of a connection.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import '../connection.dart';
import '../exceptions.dart' show OcheException;
import '../incoming.dart';
import '../transport.dart';
import 'dialing.dart';
import 'options.dart';
import 'resolve.dart';
import 'writer.dart';

/// A [Socket] that the daemon has.
///
/// It behaves as those of dart:io do: a stream of what the peer sends, and a sink for what it shall get. Errors are
/// [OcheException]s, which are [SocketException]s.
base class OcheSocket extends Stream<Uint8List> implements Socket {
  /// Takes [connection] over: nobody else may read from it or write to it any more.
  OcheSocket(Connection connection) : _connection = connection {
    _sink.done.ignore(); // a peer that resets is not an uncaught error, but one for whoever asks for `done`
  }

  final Connection _connection;
  late final Transport _transport = transportOf(_connection);
  late final _writer = Writer(_transport, this, onFailed: _onWriteFailed, onClosed: _onWriteClosed);
  late final IOSink _sink = IOSink(_writer);
  late final _incoming = Incoming(_transport, _connection, onEnd: _onReadEnded);

  bool _isDestroyed = false;
  bool _isDetached = false; // the connection is somebody else's
  bool _isClosed = false; // both ends were, in order
  bool _readEnded = false;
  bool _writeClosed = false;

  /// As [Socket.connect], through the daemon.
  static Future<Socket> connect(
    Object? host,
    int port, {
    Object? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) {
    final dialing = _dial(host, port, sourceAddress, sourcePort);
    final timer = timeout == null ? null : Timer(timeout, dialing.timeOut);
    return dialing.connection.whenComplete(() => timer?.cancel()).then(OcheSocket.new);
  }

  /// As [Socket.startConnect], through the daemon.
  static Future<ConnectionTask<Socket>> startConnect(
    Object? host,
    int port, {
    Object? sourceAddress,
    int sourcePort = 0,
  }) {
    final dialing = _dial(host, port, sourceAddress, sourcePort);
    return Future.value(ConnectionTask.fromSocket(dialing.connection.then(OcheSocket.new), dialing.cancel));
  }

  /// Throws at once what is wrong with the arguments, as dart:io does.
  static Dialing _dial(
    Object? host,
    int port,
    Object? sourceAddress,
    int sourcePort,
  ) {
    checkPort(port);
    checkPort(sourcePort);
    final source = switch (sourceAddress) {
      null || InternetAddress() => sourceAddress as InternetAddress?,
      String() => InternetAddress(sourceAddress), // not the name of a host
      _ => throw ArgumentError.value(sourceAddress, 'sourceAddress', 'must be an InternetAddress or a String'),
    };
    return Dialing(
      resolve(host),
      host,
      port,
      (address) => Connection.startConnect(
        address,
        port,
        sourceAddress: source,
        sourcePort: sourcePort,
      ),
    );
  }

  // ---- reading ----

  @override
  StreamSubscription<Uint8List> listen(
    void Function(Uint8List data)? onData, {
    Function? onError,
    void Function()? onDone,
    bool? cancelOnError,
  }) =>
      _incoming.stream.listen(
        onData,
        // Who does not handle errors sees the end: a peer that resets must not end the isolate.
        onError: onError ?? (Object _) {},
        onDone: onDone,
        cancelOnError: cancelOnError,
      );

  void _onReadEnded(OcheException? failure) {
    _readEnded = true;
    if (failure != null) {
      _writer.stop(failure); // what was to be sent is lost
      _release();
    } else if (_writeClosed) {
      _close();
    }
  }

  // ---- writing ----

  @override
  Encoding get encoding => _sink.encoding;

  @override
  set encoding(Encoding encoding) => _sink.encoding = encoding;

  @override
  void add(List<int> data) => _sink.add(data);

  @override
  void addError(Object error, [StackTrace? stackTrace]) => throw UnsupportedError('Cannot send errors on sockets');

  @override
  Future<void> addStream(Stream<List<int>> stream) => _sink.addStream(stream);

  @override
  void write(Object? object) => _sink.write(object);

  @override
  void writeAll(Iterable<dynamic> objects, [String separator = '']) => _sink.writeAll(objects, separator);

  @override
  void writeCharCode(int charCode) => _sink.writeCharCode(charCode);

  @override
  void writeln([Object? object = '']) => _sink.writeln(object);

  @override
  Future<void> flush() => _sink.flush();

  @override
  Future<void> close() => _sink.close();

  @override
  Future<void> get done => _sink.done;

  void _onWriteFailed(OcheException? failure) {
    if (failure != null) _incoming.onReadFailed(failure); // whoever reads has to know as well
    _release();
  }

  void _onWriteClosed() {
    _writeClosed = true;
    if (_readEnded) _close();
  }

  void _close() {
    _isClosed = true;
    unawaited(_connection.close());
  }

  @override
  void destroy() {
    _isDestroyed = true;
    if (!_isDetached) _release();
  }

  /// Gives the connection away, with what has come and nobody has got.
  (Connection, Uint8List?) _detach() {
    _isDestroyed = _isDetached = true;
    final held = _incoming.takeHeld();
    _writer.detach();
    _incoming.detach();
    return (_connection, held);
  }

  void _release() {
    _writer.stop();
    releaseConnection(_connection);
    _incoming.end();
  }

  // ---- what it is called, and options ----

  void _checkNotDestroyed() {
    if (_isDestroyed) throw const SocketException.closed();
  }

  void _checkNotClosed() {
    if (_isDestroyed || _isClosed) throw const SocketException.closed();
  }

  @override
  InternetAddress get address {
    _checkNotDestroyed();
    return _connection.localAddress;
  }

  @override
  int get port {
    _checkNotDestroyed();
    return _connection.localPort;
  }

  @override
  InternetAddress get remoteAddress {
    _checkNotClosed();
    return _connection.remoteAddress;
  }

  @override
  int get remotePort {
    _checkNotClosed();
    return _connection.remotePort;
  }

  /// What was set here, which the daemon may not know yet.
  Map<FlagOption, bool>? _options;

  /// Throws an [OSError] if both ends are closed. The option is set before anything that is written later is sent.
  @override
  bool setOption(SocketOption option, bool enabled) {
    if (option != SocketOption.tcpNoDelay) {
      throw ArgumentError.value(option, 'option', 'is not known');
    }
    return _set(FlagOption.noDelay, enabled);
  }

  /// As dart:io has it, which asks the system.
  void _checkHasOptions() {
    _checkNotDestroyed();
    if (_transport.isClosed) throw const OSError('Bad file descriptor', 9);
  }

  bool _set(FlagOption option, bool enabled) {
    _checkHasOptions();
    (_options ??= {})[option] = enabled;
    _transport.setOption((id, handle) => option.set(id, handle, enabled)).ignore();
    return true;
  }

  /// Knows the options that concern the connection alone: see `oche_get_option` in oche.h. Waits for the daemon, but for
  /// TCP_NODELAY and SO_KEEPALIVE.
  @override
  Uint8List getRawOption(RawSocketOption option) {
    _checkHasOptions();
    final flag = FlagOption.of(option);
    if (flag == null) return getOption(_transport, option);
    final value = _options?[flag] ?? flag.get(_transport.handle);
    return FlagOption.encode(value == true || value == 1, option.value);
  }

  /// Knows the options that [getRawOption] knows, without SO_LINGER, and waits for the daemon where that does.
  @override
  void setRawOption(RawSocketOption option) {
    _checkHasOptions();
    final flag = FlagOption.of(option);
    if (flag == null) return setOptionOf(_transport, option);
    _set(flag, FlagOption.decode(option.value));
  }
}

/// For the package itself: what a socket is on top of.
Connection connectionUnder(OcheSocket socket) => socket._connection;

/// For the package itself: the connection of a socket that is of no use any more from then on, and bytes that have come on
/// it. What was written is sent before.
Future<(Connection, List<int>)> detachConnection(OcheSocket socket) async {
  await socket.flush();
  final (connection, held) = socket._detach();
  final taken = await transportOf(connection).takeBack(); // at once: nobody else gets what a read brings now
  return (connection, [...?held, ...taken]);
}

/// For the package itself: connects as [OcheSocket.connect] does.
Dialing dial(Object? host, int port, Object? sourceAddress, int sourcePort) =>
    OcheSocket._dial(host, port, sourceAddress, sourcePort);
