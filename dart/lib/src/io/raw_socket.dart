/// dart:io's [RawSocket] on top of a connection.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import '../connection.dart';
import '../exceptions.dart';
import '../outbox.dart';
import '../transport.dart';
import 'socket.dart';

/// A [RawSocket] that the daemon has: what [RawSecureSocket.secure] and [RawSecureSocket.secureServer] take, so TLS by
/// dart:io goes through the daemon, too.
///
/// ```dart
/// final socket = await OcheRawSocket.connect('example.com', 443);
/// final secure = await RawSecureSocket.secure(socket, host: 'example.com');
/// ```
///
/// A connection that begins without TLS, as those to databases and mail servers do, can be a [Connection] first, and be
/// handed to [OcheRawSocket.new] when it is time for TLS.
final class OcheRawSocket extends Stream<RawSocketEvent> implements RawSocket {
  /// Takes [connection] over: nobody else may read from it or write to it any more.
  OcheRawSocket(Connection connection) : this._(OcheSocket(connection));

  OcheRawSocket._(this._socket) : _connection = connectionUnder(_socket);

  /// As [RawSocket.connect], through the daemon.
  static Future<RawSocket> connect(
    Object? host,
    int port, {
    Object? sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) =>
      OcheSocket.connect(
        host,
        port,
        sourceAddress: sourceAddress,
        sourcePort: sourcePort,
        timeout: timeout,
      ).then<RawSocket>(_on);

  static OcheRawSocket _on(Socket socket) => OcheRawSocket._(socket as OcheSocket);

  /// For the options of the connection, and nothing else.
  final OcheSocket _socket;
  final Connection _connection;
  late final Transport _transport = transportOf(_connection);
  late final _reader = _Reader(this);

  late final _controller = StreamController<RawSocketEvent>(
    sync: true,
    onListen: _arrange,
    onResume: _arrange,
    onCancel: () => readEventsEnabled = writeEventsEnabled = false,
  );

  @override
  StreamSubscription<RawSocketEvent> listen(
    void Function(RawSocketEvent event)? onData, {
    Function? onError,
    void Function()? onDone,
    bool? cancelOnError,
  }) =>
      _controller.stream.listen(onData, onError: onError, onDone: onDone, cancelOnError: cancelOnError);

  // ---- events ----

  bool _readEvents = true;
  bool _writeEvents = true;
  bool _isArranged = false;

  /// There is something to read that no event has told of since the last read.
  bool _isReadDue = false;
  bool _isEndDue = false;
  bool _isClosed = false;

  @override
  bool get readEventsEnabled => _readEvents;

  @override
  set readEventsEnabled(bool enabled) {
    if (enabled && !_readEvents) _isReadDue = _data.isNotEmpty;
    _readEvents = enabled;
    _arrange();
  }

  @override
  bool get writeEventsEnabled => _writeEvents;

  @override
  set writeEventsEnabled(bool enabled) {
    _writeEvents = enabled;
    _arrange();
  }

  /// Sees to it that what is due happens, though not in the call in which it became so.
  void _arrange() {
    if (_isArranged || !_controller.hasListener || _isClosed) return;
    _isArranged = true;
    scheduleMicrotask(() {
      _isArranged = false;
      _tell();
    });
  }

  bool get _isHeard => _controller.hasListener && !_controller.isPaused && !_isClosed;

  void _tell() {
    if (_isHeard && _readEvents && _isReadDue) {
      _isReadDue = false;
      _controller.add(RawSocketEvent.read);
    }
    if (_isHeard && _readEvents && _isEndDue && _data.isEmpty) {
      _isEndDue = false;
      _controller.add(RawSocketEvent.readClosed);
    }
    if (_isHeard && _writeEvents && _room == null && !_isShutDown) {
      _writeEvents = false; // as dart:io has it: the next one has to be asked for
      _controller.add(RawSocketEvent.write);
    }
    if (_isHeard && _readEvents && _data.isEmpty) _reader.readOn();
  }

  void _end() {
    if (_isClosed) return;
    if (_controller.hasListener) _controller.add(RawSocketEvent.closed);
    _isClosed = true;
    unawaited(_controller.close());
  }

  void _fail(OcheException failure) {
    if (_isClosed) return;
    if (failure is! ClosedException) _controller.addError(failure);
    _transport.destroy();
    _end();
  }

  // ---- reading ----

  static final _nothing = Uint8List(0);

  /// What has come and was not read.
  Uint8List _data = _nothing;

  void _onData(Uint8List data) {
    _data = data;
    _isReadDue = true;
    _tell();
  }

  void _onEnd() {
    _isEndDue = true;
    _tell();
  }

  @override
  int available() => _data.length;

  @override
  Uint8List? read([int? len]) {
    if (len != null && len < 0) throw ArgumentError.value(len, 'len', 'must not be negative');
    if (_data.isEmpty || len == 0) return null;
    final data = _data;
    if (len == null || len >= data.length) {
      _data = _nothing;
      _isReadDue = false;
      _arrange();
      return data;
    }
    _data = Uint8List.sublistView(data, len);
    _isReadDue = true;
    _arrange();
    return Uint8List.sublistView(data, 0, len);
  }

  @override
  SocketMessage? readMessage([int? count]) => throw UnsupportedError('TCP has no messages');

  // ---- writing ----

  static const _pieceMax = 64 * 1024;

  /// Set while there is no room for more.
  Future<void>? _room;
  bool _isShutDown = false;

  @override
  int write(List<int> buffer, [int offset = 0, int? count]) {
    final end = RangeError.checkValidRange(offset, count == null ? null : offset + count, buffer.length);
    if (_room != null || _isShutDown || _isClosed || end == offset) return 0;
    final length = end - offset < _pieceMax ? end - offset : _pieceMax;
    // A copy, for the buffer is the caller's again when this returns.
    final room = _transport.write(Uint8List.fromList(buffer.sublist(offset, offset + length)), 0, length);
    if (!identical(room, Outbox.done)) {
      _room = room;
      room.then((_) {
        _room = null;
        _arrange();
      }, onError: (Object failure) => _fail(failure as OcheException));
    }
    return length;
  }

  @override
  int sendMessage(List<SocketControlMessage> controlMessages, List<int> data, [int offset = 0, int? count]) =>
      throw UnsupportedError('TCP has no messages');

  // ---- the end ----

  @override
  void shutdown(SocketDirection direction) {
    if (direction == SocketDirection.both) return unawaited(close());
    if (direction == SocketDirection.receive) {
      _readEvents = false;
      _data = _nothing;
    } else {
      _isShutDown = true;
      _transport.closeWrite().ignore(); // what fails there shows when something is read
    }
  }

  /// Completes when all that was written has been sent, and the connection is closed.
  @override
  Future<RawSocket> close() async {
    _isShutDown = true;
    final closed = _connection.close();
    _end();
    await closed;
    return this;
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

  @override
  bool setOption(SocketOption option, bool enabled) => _socket.setOption(option, enabled);

  @override
  Uint8List getRawOption(RawSocketOption option) => _socket.getRawOption(option);

  @override
  void setRawOption(RawSocketOption option) => _socket.setRawOption(option);
}

/// Reads once at a time.
final class _Reader implements Reader {
  _Reader(this._socket);

  final OcheRawSocket _socket;
  bool _isAtEnd = false;

  void readOn() {
    if (_isAtEnd || _socket._transport.isReadBy(this)) return;
    final refusal = _socket._transport.read(this, _socket);
    if (refusal != null) onReadFailed(refusal);
  }

  @override
  void onData(Uint8List data) => _socket._onData(data);

  @override
  void onEnd() {
    _isAtEnd = true;
    _socket._onEnd();
  }

  @override
  void onReadFailed(OcheException failure) {
    _isAtEnd = true;
    _socket._fail(failure);
  }
}
