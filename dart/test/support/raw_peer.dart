/// The other end of a connection: always a socket of the system, so that it does what it is told.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'conformance.dart';

/// Both ways in which a socket comes to be, for [RawPeer.of], and what such a socket is called.
const origins = [(accepted: false, which: 'a connected socket'), (accepted: true, which: 'an accepted socket')];

/// A socket of dart:io that reads only when it is told to, and can reset.
final class RawPeer {
  RawPeer._(this._log, this._socket, this._witness) {
    _log.atEnd(_socket.close);
    _socket
      ..readEventsEnabled = false
      ..writeEventsEnabled = false;
    _subscription = _socket.listen(_onEvent, onError: _onError, onDone: _onDone);
  }

  final Log _log;
  final RawSocket _socket;
  final Witness _witness;
  late final StreamSubscription<RawSocketEvent> _subscription;
  final _ended = Completer<void>();

  /// How it ends is chance, or does not matter: only data is noted.
  bool isQuiet = false;

  Uint8List? _toWrite;
  int _written = 0;
  Completer<void>? _writing;
  final _waiting = <(int, Completer<void>)>[];

  /// The socket under test, which connects or is accepted, and its peer, which notes what it sees as "peer".
  static Future<(Socket, RawPeer)> of(Log log, {bool accepted = false}) async {
    if (accepted) {
      final server = await log.bind();
      final first = server.first;
      final raw = await RawSocket.connect(server.address, server.port);
      final peer = RawPeer._(log, raw, log('peer'));
      return (log.own(await first), peer);
    }
    final server = await RawServerSocket.bind(loopback, 0);
    final first = server.first; // which closes the server
    final socket = log.own(await Socket.connect(server.address, server.port));
    return (socket, RawPeer._(log, await first, log('peer')));
  }

  /// Of a raw socket that was made elsewhere.
  static RawPeer wrap(Log log, RawSocket socket, {String name = 'peer'}) => RawPeer._(log, socket, log(name));

  void _onEvent(RawSocketEvent event) {
    switch (event) {
      case RawSocketEvent.read:
        final data = _socket.read();
        if (data != null) {
          _witness.data(data);
          for (final (count, completer) in _waiting.toList()) {
            if (_witness.bytes >= count && !completer.isCompleted) completer.complete();
          }
        }
      case RawSocketEvent.write:
        _pump();
      case RawSocketEvent.readClosed:
        if (!isQuiet) _witness('end');
        if (!_ended.isCompleted) _ended.complete();
    }
  }

  void _onError(Object error) {
    if (!isQuiet) _witness('broken');
    if (!_ended.isCompleted) _ended.complete();
    _stopWriting();
  }

  void _onDone() {
    if (!_ended.isCompleted) _ended.complete();
    _stopWriting();
  }

  /// Begins to read, and notes what comes.
  void read() => _socket.readEventsEnabled = true;

  /// Reads until so many bytes have come since the beginning.
  Future<void> received(int count) {
    if (_witness.bytes >= count) return Future.value();
    final completer = Completer<void>();
    _waiting.add((count, completer));
    read();
    return completer.future;
  }

  /// Comes back when the system has so many bytes that nobody has read.
  Future<void> arrived(int count) => eventually(() => _socket.available() >= count, '$count bytes arrive');

  /// Reads until the end, or a reset.
  Future<void> ended() {
    read();
    return _ended.future;
  }

  /// Gives all of it to the system.
  Future<void> write(List<int> data) {
    _toWrite = Uint8List.fromList(data);
    _written = 0;
    final writing = _writing = Completer<void>();
    _pump();
    return writing.future;
  }

  void _pump() {
    final data = _toWrite;
    if (data == null) return;
    _written += _socket.write(data, _written);
    if (_written == data.length) {
      _stopWriting();
    } else {
      _socket.writeEventsEnabled = true;
    }
  }

  void _stopWriting() {
    _toWrite = null;
    _writing?.complete();
    _writing = null;
  }

  /// Sends the end of the stream; goes on reading.
  void shutdown() => _socket.shutdown(SocketDirection.send);

  /// Closes; comes back when the system has done so. If there is something that was not read, the system resets the
  /// connection.
  Future<void> close() async {
    _stopWriting();
    await _socket.close();
  }

  /// Ends the connection with a reset instead of the end of the stream; comes back when the system has done so.
  Future<void> reset() async {
    resetOnClose(_socket);
    _stopWriting();
    await _socket.close();
    await _subscription.cancel();
  }
}
