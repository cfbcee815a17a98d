/// What many scenarios do.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'log.dart';
import 'testing.dart';

/// Pieces of [size] bytes, [count] of them; [onPiece] is told how many were taken so far.
Stream<Uint8List> pieces(int count, int size, {void Function(int taken)? onPiece}) async* {
  final piece = pattern(size);
  for (var i = 0; i < count; i++) {
    onPiece?.call(i + 1);
    yield piece;
  }
}

Future<void> sumUp(Witness witness, Stream<Uint8List> stream) async {
  final sum = Sum();
  await stream.forEach(sum.add);
  witness('$sum');
}

/// Connects, sends the text, and ends.
Future<void> say(ServerSocket server, String text) async {
  final socket = await Socket.connect(server.address, server.port);
  socket.write(text);
  await socket.close();
  await socket.drain<void>();
  socket.destroy();
}

/// What a client says.
Future<String> hear(Socket socket) async {
  final text = await utf8.decodeStream(socket);
  await socket.close();
  socket.destroy();
  return text;
}

/// Comes back when connecting is refused.
Future<void> nobodyListens(InternetAddress address, int port) => eventually(() async {
      try {
        (await Socket.connect(address, port)).destroy();
        return false;
      } on SocketException {
        return true;
      }
    }, 'nobody listens');

/// Writes a little again and again until [over] completes.
Future<void> writeUntil(Socket socket, Future<void> over) async {
  var isOver = false;
  unawaited(over.whenComplete(() => isOver = true));
  await eventually(() {
    if (!isOver) socket.add(pattern(100));
    return isOver;
  }, 'writing fails');
}

/// Comes back when the number does not grow any more, with the number. If that is only because the machine is busy
/// elsewhere, the number is smaller than it could be.
Future<int> settled(int Function() number) async {
  var last = number(), still = 0;
  while (still < 25) {
    await Future<void>.delayed(const Duration(milliseconds: 4));
    final now = number();
    still = now == last ? still + 1 : 0;
    last = now;
  }
  return last;
}
