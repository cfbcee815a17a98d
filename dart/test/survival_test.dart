/// Servers that were written for dart:io, under load, while daemons die under them, leave and hand over. None of them
/// handles errors, and none may end. This ends the daemon that serves $OCHE_SOCKET.
///
/// $OCHE_SURVIVAL_ROUNDS is how often each server loses its daemon in each way, by default three times.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'support/daemon.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

final _rounds = int.parse(Platform.environment['OCHE_SURVIVAL_ROUNDS'] ?? '3');

Future<void> main(List<String> arguments) {
  for (final (name, start, visit) in [
    ('an HttpServer', _startHttp, _visitHttp),
    ('a ServerSocket', _startEcho, _visitEcho),
    ('a WebSocket', _startHttp, _visitWebSocket),
  ]) {
    for (final signal in [ProcessSignal.sigkill, ProcessSignal.sigabrt, ProcessSignal.sigterm, ProcessSignal.sigusr2]) {
      for (var round = 0; round < _rounds; round++) {
        test('$name goes on after $signal, round $round', () => _survive(start, visit, signal));
      }
    }
  }
  return runTests(arguments);
}

/// Visitors come all the time, some to do harm.
Future<void> _survive(Future<int> Function() start, Future<void> Function(int) visit, ProcessSignal signal) async {
  final port = await runWithOche(start);
  var visits = 0, over = false;
  Future<void> come() async {
    while (!over) {
      try {
        await visit(port);
        visits++;
      } on Exception {
        await turns(1); // the daemon that had it is gone
      }
    }
  }

  final visitors = [for (var i = 0; i < 6; i++) come()];
  await eventually(() => visits >= 6, 'somebody is served');
  final before = daemonPid();
  expectTrue(Process.killPid(before, signal), 'process $before gets $signal');
  await eventually(() => daemonPid() != before, 'another daemon serves');
  final served = visits;
  await eventually(() => visits >= served + 12, 'everybody is served again');
  over = true;
  await Future.wait(visitors);
}

/// Uses whatever a server may ask of a connection.
Future<int> _startHttp() async {
  final server = await HttpServer.bind('localhost', 0);
  server.listen((request) async {
    final info = request.connectionInfo;
    if (request.uri.path == '/socket') {
      final socket = await WebSocketTransformer.upgrade(request);
      return socket.listen(socket.add).onDone(() => unawaited(socket.close()));
    }
    final body = await request.length;
    request.response
      ..write('${request.requestedUri} from ${info?.remoteAddress.type.name}, with $body bytes, ')
      ..add(Uint8List(100000));
    unawaited(request.response.close());
  }, cancelOnError: false);
  return server.port;
}

Future<int> _startEcho() async {
  final server = await ServerSocket.bind(loopback, 0);
  server.listen((socket) {
    socket
      ..setOption(SocketOption.tcpNoDelay, true)
      ..write('${socket.remoteAddress.address} ${socket.remotePort} at ${socket.address.address} ${socket.port}\n')
      ..listen(socket.add, onDone: socket.destroy);
  });
  return server.port;
}

Future<void> _visitHttp(int port) async {
  final socket = await Socket.connect(loopback, port);
  try {
    socket
      ..write('POST / HTTP/1.1\r\nHost: localhost:$port\r\nContent-Length: 5\r\nConnection: close\r\n\r\n180!\n')
      ..done.ignore();
    final answer = await socket.fold(BytesBuilder(), (answer, bytes) => answer..add(bytes));
    if (answer.length < 100000) throw const SocketException('cut off');
    expectTrue(latin1.decode(answer.takeBytes()).contains('http://localhost:$port/ from IPv4, with 5 bytes'), 'it is right');
  } finally {
    socket.destroy();
  }
}

Future<void> _visitEcho(int port) async {
  final socket = await Socket.connect(loopback, port);
  try {
    socket.done.ignore();
    final lines = StreamIterator(socket.cast<List<int>>().transform(utf8.decoder).transform(const LineSplitter()));
    socket.write('one hundred and eighty!\n');
    if (!await lines.moveNext()) throw const SocketException('cut off');
    expect(lines.current, '127.0.0.1 ${socket.port} at 127.0.0.1 $port', 'what the server knows');
    if (!await lines.moveNext()) throw const SocketException('cut off');
    expect(lines.current, 'one hundred and eighty!', 'the echo');
  } finally {
    socket.destroy();
  }
}

Future<void> _visitWebSocket(int port) async {
  final socket = await WebSocket.connect('ws://127.0.0.1:$port/socket');
  try {
    final messages = StreamIterator(socket);
    for (var i = 0; i < 3; i++) {
      socket.add('$i');
      if (!await messages.moveNext()) throw const SocketException('cut off');
      expect(messages.current, '$i', 'the echo');
    }
  } finally {
    socket.close().ignore();
  }
}

extension on HttpRequest {
  Future<int> get length async => fold(0, (sum, bytes) => sum + bytes.length);
}
