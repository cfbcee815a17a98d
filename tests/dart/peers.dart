/// What the tests talk to: an echo server on oche, and sockets of dart:io.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'client.dart';

final loopback = InternetAddress.loopbackIPv4;

/// The two ends of a connection, both of oche.
class Pair {
  final int listener, connected, accepted;

  Pair._(this.listener, this.connected, this.accepted);

  static Future<Pair> open(Client client, {InternetAddress? address}) async {
    address ??= loopback;
    final listener = await client.listen(address, 0);
    final accepted = client.accept(listener);
    final connected = await client.connect(address, client.localPort(listener));
    return Pair._(listener, connected, await accepted);
  }
}

/// A connection whose other end is a socket of dart:io.
class Mixed {
  final int handle;
  final RawSocket socket;

  Mixed._(this.handle, this.socket);

  static Future<Mixed> open(Client client) async {
    final server = await RawServerSocket.bind(loopback, 0);
    final handle = client.connect(loopback, server.port);
    final socket = await server.first; // which closes the server
    return Mixed._(await handle, socket);
  }

  /// Waits until the other end has sent everything, or is gone.
  Future<void> ended() async {
    try {
      await socket.firstWhere((event) => event == RawSocketEvent.readClosed);
    } on SocketException {
      // Gone it is.
    }
  }

  /// Ends the connection with a reset instead of the end of the stream.
  Future<void> reset() async {
    const soLinger = 13;
    final onWithoutTime = Uint8List.sublistView(Int32List.fromList([1, 0]));
    socket.setRawOption(RawSocketOption(RawSocketOption.levelSocket, soLinger, onWithoutTime));
    await socket.close();
  }
}

/// Accepts connections and sends back what comes on them, until the listener is closed and all
/// connections have ended.
Future<void> serveEcho(Client client, int listener) async {
  final echoes = <Future<void>>[];
  try {
    while (true) {
      final connection = await client.accept(listener);
      echoes.add(echo(client, connection)..ignore()); // until it is waited for below
    }
  } on TcpException catch (exception) {
    if (exception.code != TCP_ERR_CLOSED) rethrow;
  }
  await Future.wait(echoes);
}

Future<void> echo(Client client, int connection) async {
  await for (final data in client.stream(connection)) {
    await client.write(connection, data);
  }
  await client.closeWrite(connection);
  await client.close(connection);
}

/// Sends the bytes and the end of the stream; all that comes back.
Future<Uint8List> exchange(Client client, int port, Uint8List bytes) async {
  final connection = await client.connect(loopback, port);
  final answer = client.readAll(connection)..ignore();
  await client.write(connection, bytes);
  await client.closeWrite(connection);
  try {
    return await answer;
  } finally {
    await client.close(connection);
  }
}

/// A port of a loopback address of our own where nobody listens.
Future<(InternetAddress, int)> deadEnd() async {
  final address = InternetAddress('127.83.${pid >> 8 & 255}.${pid & 255}');
  final server = await ServerSocket.bind(address, 0);
  final port = server.port;
  await server.close();
  return (address, port);
}
