/// Servers that were written for dart:io, under load, while daemons die under them, leave, and hand over. This ends the
/// daemon that serves $OCHE_SOCKET, again and again.
///
/// $OCHE_SURVIVAL_ROUNDS is how often the servers lose their daemon in each way, by default five times.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/io.dart';

import 'support/daemon.dart';
import 'support/system.dart';
import 'support/testing.dart';

final _rounds = int.parse(Platform.environment['OCHE_SURVIVAL_ROUNDS'] ?? '5');

Future<void> main(List<String> arguments) {
  for (final signal in [ProcessSignal.sigkill, ProcessSignal.sigabrt, ProcessSignal.sigterm, ProcessSignal.sigusr2]) {
    test(
      'an HttpServer, its WebSockets, and a ServerSocket go on at the next daemon, $_rounds times after $signal',
      () => _survive(signal),
      limit: patience * _rounds,
    );
  }
  return runTests(arguments);
}

/// Visitors come all the time, by the sockets of dart:io, as from another machine. The servers have an isolate of their
/// own, which an error that nobody handles ends.
Future<void> _survive(ProcessSignal signal) async {
  final ports = ReceivePort(), errors = ReceivePort();
  final uncaught = <Object?>[];
  errors.listen(uncaught.add);
  final servers = await Isolate.spawn(_serve, ports.sendPort, onError: errors.sendPort);
  final (http, echo) = await ports.first as (int, int);
  final crowds = [
    _Crowd('GET', () => _visitHttp(http)),
    _Crowd('WebSocket', () => _visitWebSocket(http)),
    _Crowd('echo', () => _visitEcho(echo)),
  ];
  for (var round = 0; round < _rounds; round++) {
    await _allAreServed(crowds, uncaught);
    final before = daemonPid();
    expectTrue(Process.killPid(before, signal), 'process $before gets $signal');
    await eventually(() => _daemonNow() != before, 'another daemon serves in round $round');
  }
  await _allAreServed(crowds, uncaught);
  for (final crowd in crowds) {
    await crowd.leave();
  }
  servers.kill(priority: Isolate.immediate);
  errors.close();
}

Future<void> _allAreServed(List<_Crowd> crowds, List<Object?> uncaught) async {
  for (final crowd in crowds) {
    final served = crowd.visits;
    await eventually(
      () => uncaught.isNotEmpty || crowd.visits >= served + 4,
      '${crowd.name} is served after ${crowd.visits} visits; the last error is ${crowd.lastError}',
    );
  }
  expect(uncaught, <Object?>[], 'what ended the servers');
}

/// The process whose number is in the lock file, which is empty for a moment when a daemon comes.
int? _daemonNow() {
  try {
    return daemonPid();
  } on Exception {
    return null;
  }
}

/// Two visitors who come again and again, whatever happens to them.
final class _Crowd {
  _Crowd(this.name, this._visit) {
    _visitors = [for (var i = 0; i < 2; i++) _come()];
  }

  final String name;
  final Future<void> Function() _visit;
  late final List<Future<void>> _visitors;
  bool _isOver = false;
  int visits = 0;
  Object? lastError;

  Future<void> _come() async {
    while (!_isOver) {
      try {
        await _visit();
        visits++;
      } catch (exception) {
        // The daemon that had the connection is gone: an IOException, or now and then a bare OSError of dart:io.
        if (exception is! IOException && exception is! OSError) rethrow;
        lastError = exception;
        await turns(1);
      }
    }
  }

  Future<void> leave() {
    _isOver = true;
    return Future.wait(_visitors);
  }
}

/// Servers as they are written for dart:io. They expect that a client goes in the midst of things, and nothing else.
Future<void> _serve(SendPort ports) => runWithOche(() async {
      final http = await HttpServer.bind('localhost', 0);
      http.listen((request) async {
        try {
          final info = request.connectionInfo!;
          if (request.uri.path == '/socket') {
            final socket = await WebSocketTransformer.upgrade(request);
            socket.listen(socket.add, onDone: socket.close, onError: (Object _) {});
            return;
          }
          final body = await request.fold(0, (sum, bytes) => sum + bytes.length);
          request.response
            ..write('${request.requestedUri} from ${info.remoteAddress.type.name}, with $body bytes, ')
            ..add(Uint8List(100000));
          await request.response.close();
        } on IOException {
          // The client is gone.
        }
      });
      final echo = await ServerSocket.bind(loopback, 0);
      echo.listen((socket) {
        socket.done.ignore();
        socket
          ..setOption(SocketOption.tcpNoDelay, true)
          ..write('${socket.remoteAddress.address} ${socket.remotePort} at ${socket.address.address} ${socket.port}\n')
          ..listen(socket.add, onDone: socket.destroy, onError: (Object _) {});
      });
      ports.send((http.port, echo.port));
    });

Future<void> _visitHttp(int port) async {
  final socket = await Socket.connect(loopback, port);
  try {
    socket.done.ignore();
    socket.write('POST / HTTP/1.1\r\nHost: localhost:$port\r\nContent-Length: 5\r\nConnection: close\r\n\r\n180!\n');
    final answer = await socket.fold(BytesBuilder(), (answer, bytes) => answer..add(bytes));
    if (answer.length < 100000) throw const SocketException('cut off');
    final text = latin1.decode(answer.takeBytes());
    expectTrue(text.contains('http://localhost:$port/ from IPv4, with 5 bytes'), 'the answer is right');
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
