/// Isolates that share a port: each has a listener and a session of its own, and the system spreads connections over
/// them. One daemon serves them all.
///
///     dart run example/many_isolates.dart [ISOLATES]
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/oche.dart';

Future<void> main(List<String> arguments) async {
  final isolates = arguments.isEmpty ? 4 : int.parse(arguments.first);
  final first = await Listener.bind(InternetAddress.loopbackIPv4, 0, shared: true);
  final served = ReceivePort();
  for (var number = 0; number < isolates; number++) {
    await Isolate.spawn(serve, (first.port, number, served.sendPort));
  }
  await served.take(isolates).drain<void>(); // all of them listen
  await first.close();

  final counts = <String, int>{};
  for (var i = 0; i < 100; i++) {
    final connection = await Connection.connect(InternetAddress.loopbackIPv4, first.port);
    final who = String.fromCharCodes((await connection.read())!);
    counts.update(who, (count) => count + 1, ifAbsent: () => 1);
    await connection.close();
  }
  counts.forEach((who, count) => stdout.writeln('$who served $count of 100 connections'));
  exit(0); // the others listen for ever
}

/// Tells everybody who connects which isolate it is.
Future<void> serve((int, int, SendPort) job) async {
  final (port, number, ready) = job;
  final listener = await Listener.bind(InternetAddress.loopbackIPv4, port, shared: true);
  ready.send(null);
  await for (final connection in listener.stream) {
    await connection.write('isolate $number'.codeUnits);
    unawaited(connection.close());
  }
}
