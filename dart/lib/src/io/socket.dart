/// dart:io's [Socket] on top of a connection.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import '../connection.dart';
import '../exceptions.dart' show OcheException;
import '../transport.dart';
import 'dialing.dart';
import '../incoming.dart';
import 'options.dart';
import 'resolve.dart';
import 'writer.dart';

/// A [Socket] that the daemon has.
///
/// It behaves as those of dart:io do: a stream of what the peer sends, and a sink for what it shall get. Errors are
/// [OcheException]s, which are [SocketException]s.
final class OcheSocket extends Stream<Uint8List> implements Socket {
  OcheSocket._(this._connection) {
    _sink.done.ignore(); // a peer that resets is not an uncaught error, but one for whoever asks for `done`
  }

  final Connection _connection;
  late final Transport _transport = transportOf(_connection);
  late final _writer = Writer(_transport, this, onFailed: destroy, onClosed: _onWriteClosed);
  late final IOSink _sink = IOSink(_writer);
  late final _incoming = Incoming(_transport, _connection, onEnd: _onReadEnded);

  bool _readEnded = false;
  bool _writeClosed = false;

  /// As [Socket.connect], through the daemon.
  static Future<Socket> connect(
    Object? host,
    int port, {
    Object? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) async {
    final dialing = await _dial(host, port, sourceAddress, sourcePort);
    final timer = timeout == null ? null : Timer(timeout, dialing.timeOut);
    try {
      return OcheSocket._(await dialing.connection);
    } finally {
      timer?.cancel();
    }
  }

  /// As [Socket.startConnect], through the daemon.
  static Future<ConnectionTask<Socket>> startConnect(
    Object? host,
    int port, {
    Object? sourceAddress,
    int sourcePort = 0,
  }) async {
    final dialing = await _dial(host, port, sourceAddress, sourcePort);
    return ConnectionTask.fromSocket(
      dialing.connection.then(OcheSocket._),
      dialing.cancel,
    );
  }

  static Future<Dialing> _dial(
    Object? host,
    int port,
    Object? sourceAddress,
    int sourcePort,
  ) async {
    RangeError.checkValueInInterval(port, 0, 65535, 'port');
    final addresses = await resolve(host);
    final source = sourceAddress == null ? null : (await resolve(sourceAddress)).first;
    return Dialing(
      addresses,
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

  void _onReadEnded({required bool isBroken}) {
    _readEnded = true;
    if (isBroken) {
      destroy();
    } else if (_writeClosed) {
      unawaited(_connection.close());
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

  void _onWriteClosed() {
    _writeClosed = true;
    if (_readEnded) unawaited(_connection.close());
  }

  @override
  void destroy() {
    _writer.stop();
    _connection.destroy();
    _incoming.end();
  }

  // ---- what it is called, and options ----

  @override
  InternetAddress get address => _connection.localAddress;

  @override
  int get port => _connection.localPort;

  @override
  InternetAddress get remoteAddress => _connection.remoteAddress;

  @override
  int get remotePort => _connection.remotePort;

  /// Returns false if the socket is closed. The option is set before anything that is written later is sent.
  @override
  bool setOption(SocketOption option, bool enabled) {
    if (option != SocketOption.tcpNoDelay) {
      throw ArgumentError.value(option, 'option', 'is not known');
    }
    return _set(FlagOption.noDelay, enabled);
  }

  bool _set(FlagOption option, bool enabled) {
    if (_transport.isClosed) return false;
    _transport.setOption((id, handle) => option.set(id, handle, enabled)).ignore();
    return true;
  }

  /// Knows TCP_NODELAY and SO_KEEPALIVE.
  @override
  Uint8List getRawOption(RawSocketOption option) {
    final flag = FlagOption.of(option) ?? refuseOption(option);
    final value = flag.get(_transport.handle);
    if (value < 0) throw _transport.gone('getRawOption');
    return FlagOption.encode(value == 1);
  }

  /// Knows TCP_NODELAY and SO_KEEPALIVE.
  @override
  void setRawOption(RawSocketOption option) {
    final flag = FlagOption.of(option) ?? refuseOption(option);
    if (!_set(flag, FlagOption.decode(option.value))) throw _transport.gone('setRawOption');
  }
}

/// For the package itself: the socket of a connection that was accepted.
OcheSocket socketOf(Connection connection) => OcheSocket._(connection);
