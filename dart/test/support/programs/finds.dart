/// Does what the arguments say, one after the other, and says what comes of it.
library;

import 'dart:io';

import 'package:oche/oche.dart';

import '../pairs.dart';

Future<void> main(List<String> arguments) async {
  for (final argument in arguments) {
    final [verb, ...what] = argument.split('=');
    try {
      switch (verb) {
        case 'use':
          useOcheLibrary(what.single);
        case 'echo':
          final pair = await Pair.open();
          await expectEcho(pair.connected, pair.accepted);
          await pair.close();
        case 'listen':
          await byFuture(() => Listener.bind(loopback, 0));
        case 'connect':
          await byFuture(() => Connection.connect(loopback, 9));
        case 'serve':
          await serve(what.single);
      }
      print('$verb: done');
    } on LibraryNotFoundException catch (failure) {
      print('$verb: not found: ${failure.tried.join('; ')}');
    } on OcheException catch (failure) {
      print('$verb: $failure');
    } on StateError catch (error) {
      print('$verb: StateError: ${error.message}');
    }
  }
}

/// What the call returns; it must not throw.
Future<void> byFuture(Future<Object> Function() call) {
  try {
    return call();
  } on OcheException catch (failure) {
    throw StateError('thrown, not returned: $failure');
  }
}

/// Starts a daemon, which goes to the background as soon as it serves.
Future<void> serve(String daemon) async {
  final result = await Process.run(daemon, ['--idle-exit', '60']);
  if (result.exitCode != 0) throw StateError('${result.stderr}');
}
