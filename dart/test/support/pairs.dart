/// Connections to try things on: both ends of oche, or one of them a socket of dart:io.
library;

import 'dart:async';
import 'dart:io';
import 'dart:math';
import 'dart:typed_data';

import 'package:oche/oche.dart';

import 'system.dart';
import 'testing.dart';

export 'system.dart';

/// What errno is called on Linux.
const econnreset = 104, econnrefused = 111, eaddrinuse = 98, eaddrnotavail = 99;

/// The two ends of a connection, both of oche.
class Pair {
  Pair._(this.listener, this.connected, this.accepted);

  final Listener listener;
  final Connection connected, accepted;

  static Future<Pair> open({InternetAddress? address}) async {
    final listener = await Listener.bind(address ?? loopback, 0);
    final accept = listener.accept();
    final connected = await Connection.connect(listener.address, listener.port);
    return Pair._(listener, connected, await accept);
  }

  Future<void> close() async {
    await listener.close();
    await connected.close();
    await accepted.close();
  }
}

/// A connection, and its other end: a socket of the system that does nothing unless it is told to.
class Mixed {
  Mixed._(this.connection, this.peer);

  final Connection connection;
  final Peer peer;

  static Future<Mixed> open() async {
    final server = await RawServerSocket.bind(loopback, 0);
    final socket = server.first; // which closes the server
    final connection = await Connection.connect(loopback, server.port);
    return Mixed._(connection, Peer(await socket));
  }

  Future<void> close() async {
    connection.destroy();
    await peer.close();
  }
}

/// A socket of dart:io that reads as much as it is told to.
class Peer {
  Peer(this._socket) {
    _socket
      ..readEventsEnabled = false
      ..writeEventsEnabled = false
      ..listen(_onEvent, onError: _onError, onDone: _end);
  }

  final RawSocket _socket;
  final _ended = Completer<void>();
  int _wanted = 0;
  Completer<void>? _enough;
  Completer<void>? _writable;

  /// Whether the connection ended with a reset.
  bool wasReset = false;

  /// How many bytes have come, and their [checksum].
  int received = 0;
  int sum = 1;

  void _onEvent(RawSocketEvent event) {
    if (event == RawSocketEvent.readClosed) return _end();
    if (event == RawSocketEvent.write) return _writable?.complete();
    if (event != RawSocketEvent.read) return;
    final data = _socket.read(min(_wanted - received, 1 << 20));
    if (data == null) return;
    received += data.length;
    sum = checksum(data, sum);
    if (received < _wanted) return;
    _socket.readEventsEnabled = false;
    _enough?.complete();
    _enough = null;
  }

  void _onError(Object _) {
    wasReset = true;
    _end();
  }

  void _end() {
    if (!_ended.isCompleted) _ended.complete();
  }

  /// Reads until so many bytes have come since the beginning.
  Future<void> receive(int total) {
    _wanted = total;
    if (received >= total) return Future.value();
    _enough = Completer();
    _socket.readEventsEnabled = true;
    return _enough!.future;
  }

  /// Reads until there is nothing more, or the connection is broken.
  Future<void> get ended {
    _wanted = 1 << 40;
    _socket.readEventsEnabled = true;
    return _ended.future;
  }

  /// Whether it is known that there is nothing more.
  bool get hasEnded => _ended.isCompleted;

  /// Writes a few bytes, which there is room for.
  void write(List<int> bytes) => expect(_socket.write(bytes), bytes.length, 'what was written');

  /// Gives all of it to the system.
  Future<void> send(List<int> bytes) async {
    var sent = _socket.write(bytes);
    while (sent < bytes.length) {
      final writable = _writable = Completer();
      _socket.writeEventsEnabled = true;
      await writable.future;
      sent += _socket.write(bytes, sent);
    }
  }

  /// Makes the system hold few bytes that nobody reads.
  void narrow() => setSocketOption(_socket, 8, [1 << 16]); // SO_RCVBUF

  /// Sends the end of the stream.
  void shutdown() => _socket.shutdown(SocketDirection.send);

  Future<void> close() async => _socket.close();

  /// Ends the connection with a reset instead of the end of the stream.
  Future<void> reset() async {
    resetOnClose(_socket);
    await _socket.close();
  }
}

/// What comes until the end of the stream.
Future<Uint8List> readAll(Connection connection) async {
  final bytes = BytesBuilder(copy: false);
  while (true) {
    final data = await connection.read();
    if (data == null) return bytes.takeBytes();
    bytes.add(data);
  }
}

/// The next [count] bytes.
Future<Uint8List> readExactly(Connection connection, int count) async {
  final bytes = BytesBuilder(copy: false);
  while (bytes.length < count) {
    bytes.add(await connection.read() ?? (throw Failure('the end after ${bytes.length} bytes')));
  }
  return bytes.takeBytes();
}

/// Sends a message from one end to the other, and back.
Future<void> expectEcho(Connection one, Connection other, [int seed = 1]) async {
  final message = pattern(1000, seed);
  await one.write(message);
  expect(await readExactly(other, 1000), message, 'what came');
  await other.write(message);
  expect(await readExactly(one, 1000), message, 'what came back');
}

/// The calls fail alike, at once or by what they return.
Future<T> failureOf<T extends Object>(FutureOr<Object?> Function() call) async {
  final Object? value;
  try {
    value = await call();
  } on T catch (failure) {
    return failure;
  }
  throw Failure('no $T, but ${value is Uint8List ? '${value.length} bytes' : value}');
}

/// The future fails with a [T], by what is returned and not by a throw.
Future<T> expectFails<T extends Object>(Future<Object?> future) => failureOf<T>(() => future);

/// Keeps the daemon and this isolate busy for a while: what could happen meanwhile, has happened.
Future<void> letOthersGoOn() async {
  final pair = await Pair.open();
  for (var i = 0; i < 200; i++) {
    await expectEcho(pair.connected, pair.accepted, i);
  }
  await pair.close();
}
