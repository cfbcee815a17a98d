/// Much data, in both directions.
library;

import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import 'support/conformance.dart';

const _mebibyte = 1 << 20;

Future<void> main(List<String> arguments) {
  volume();
  return runTests(arguments);
}

void volume() {
  conforms('64 MiB from the one that connected', (log) async {
    final (client, server) = await log.pair();
    unawaited(client.addStream(pieces(1024, 65536)).then((_) => client.close()));
    await sumUp(log('server'), server);
  });

  conforms('64 MiB from the one that was accepted', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.addStream(pieces(1024, 65536)).then((_) => server.close()));
    await sumUp(log('client'), client);
  });

  conforms('16 MiB in both directions at the same time', (log) async {
    final (client, server) = await log.pair();
    unawaited(client.addStream(pieces(256, 65536)).then((_) => client.close()));
    unawaited(server.addStream(pieces(16, _mebibyte)).then((_) => server.close()));
    await Future.wait([sumUp(log('client'), client), sumUp(log('server'), server)]);
  });

  conforms('an echo of 16 MiB', (log) async {
    final (client, server) = await log.pair();
    unawaited(server.cast<List<int>>().pipe(server));
    unawaited(client.addStream(pieces(16, _mebibyte)).then((_) => client.close()));
    await sumUp(log('client'), client);
  });

  conforms('one list of 16 MiB', (log) async {
    final (client, server) = await log.pair();
    client.add(pattern(16 * _mebibyte));
    unawaited(log('out').outcome('close', client.close()));
    await sumUp(log('in'), server);
  });

  conforms('50000 small lists', (log) async {
    final (client, server) = await log.pair();
    for (var i = 0; i < 50000; i++) {
      client.add(Uint8List(1 + i % 37)..fillRange(0, 1 + i % 37, i & 255));
    }
    unawaited(log('out').outcome('close', client.close()));
    await sumUp(log('in'), server);
  });

  conforms('5000 small lists, each flushed', (log) async {
    final (client, server) = await log.pair();
    final summing = sumUp(log('in'), server);
    for (var i = 0; i < 5000; i++) {
      client.add([i & 255, i >> 8]);
      await client.flush();
    }
    unawaited(client.close());
    await summing;
  });

  conforms('a file', (log) async {
    final directory = await Directory.systemTemp.createTemp('conformance');
    log.atEnd(() => directory.delete(recursive: true));
    final file = File('${directory.path}/data')..writeAsBytesSync(pattern(5 * _mebibyte + 7));
    final (client, server) = await log.pair();
    unawaited(log('out').outcome('pipe', file.openRead().pipe(client)));
    final copy = File('${directory.path}/copy').openWrite();
    await server.cast<List<int>>().pipe(copy);
    log('in').data(File('${directory.path}/copy').readAsBytesSync());
  });

  conforms('20 connections with 1 MiB each', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      socket.cast<List<int>>().pipe(socket);
    });
    await Future.wait([
      for (var i = 0; i < 20; i++)
        () async {
          final client = await log.connect(server);
          unawaited(client.addStream(pieces(16, 65536)).then((_) => client.close()));
          await sumUp(log('client ${i + 10}'), client);
        }(),
    ]);
  });
}
