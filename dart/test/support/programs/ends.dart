/// Connects to a port of this host, and goes on as the first argument says.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io' show exit;

import 'package:oche/oche.dart';

import '../pairs.dart';
import '../testing.dart';

Future<void> main(List<String> arguments) async {
  final [mode, port] = arguments;
  final connection = await Connection.connect(loopback, int.parse(port));
  void say(Object? what) => print('$mode: $what');
  switch (mode) {
    case 'idle':
      final listener = await Listener.bind(loopback, 0);
      say(listener.address.address);
    case 'read':
      unawaited(connection.read().then(say));
    case 'stream':
      connection.stream.listen(say, onDone: () => say('end'));
    case 'accept':
      final listener = await Listener.bind(loopback, 0);
      unawaited(listener.accept().then((accepted) => accepted.read()).then(say));
      unawaited(connection.write(utf8.encode('${listener.port}')));
    case 'write':
      unawaited(connection.write(pattern(16 << 20)));
    case 'write little':
      for (var i = 0; i < 100; i++) {
        unawaited(connection.write([i]));
      }
    case 'closeWrite':
      unawaited(connection.write(pattern(100000)));
      unawaited(connection.closeWrite());
    case 'exit':
      connection.write(pattern(4 << 20)).ignore();
      exit(0);
    case 'throw':
      unawaited(connection.read());
      throw Failure('on purpose');
  }
}
