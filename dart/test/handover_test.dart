/// The daemon hands over to another one. This replaces the daemon that serves $OCHE_SOCKET.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';

import 'support/daemon.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  test('a listener keeps accepting when the daemon has handed over', () async {
    final before = await Pair.open();
    final accepts = [before.listener.accept(), before.listener.accept()];
    final read = expectFails<DaemonLostException>(before.connected.read());
    await replaceDaemon();
    await read;
    for (final accept in [...accepts, before.listener.accept()]) {
      final connected = await Connection.connect(before.listener.address, before.listener.port);
      await expectEcho(connected, await accept);
    }
    await expectFails<DaemonLostException>(before.connected.read());
    await before.close();
  });

  test('a stream of connections goes on over a handover, in several isolates', () async {
    final isolates = [for (var i = 0; i < 3; i++) await _server()];
    for (var round = 0; round < 2; round++) {
      for (final (port, _) in isolates) {
        await _ask(port);
      }
      await replaceDaemon();
    }
    for (final (port, isolate) in isolates) {
      await _ask(port);
      isolate.kill(priority: Isolate.immediate);
    }
  });

  test(
      'a server of dart:io goes on over a handover',
      () => runWithOche(() async {
            final server = await HttpServer.bind(loopback, 0);
            server.listen((request) => unawaited((request.response..write('hello')).close()));
            for (var round = 0; round < 2; round++) {
              final client = HttpClient();
              final request = await client.getUrl(Uri.http('127.0.0.1:${server.port}', '/'));
              final bytes = await (await request.close()).expand((bytes) => bytes).toList();
              expect(String.fromCharCodes(bytes), 'hello', 'the answer');
              client.close(force: true);
              await replaceDaemon();
            }
            await server.close(force: true);
          }));
  return runTests(arguments);
}

/// A server in an isolate of its own that answers each byte with the next one.
Future<(int, Isolate)> _server() async {
  final ports = ReceivePort();
  final isolate = await Isolate.spawn((SendPort port) async {
    final listener = await Listener.bind(loopback, 0);
    port.send(listener.port);
    await for (final connection in listener.stream) {
      final byte = await connection.read();
      await connection.write([byte!.first + 1]);
      await connection.close();
    }
  }, ports.sendPort);
  return (await ports.first as int, isolate);
}

Future<void> _ask(int port) async {
  final connection = await Connection.connect(loopback, port);
  await connection.write([1]);
  expect((await connection.read())!.first, 2, 'the answer');
  await connection.close();
}
