/// Sends standard input to a server, and prints what comes back.
///
///     echo hello | dart run example/client.dart [PORT]
library;

import 'dart:io';

import 'package:oche/oche.dart';

Future<void> main(List<String> arguments) async {
  final port = arguments.isEmpty ? 7007 : int.parse(arguments.first);
  try {
    final connection = await Connection.connect(
      InternetAddress.loopbackIPv4,
      port,
      timeout: const Duration(seconds: 5),
    );
    final answer = connection.stream.forEach(stdout.add);
    await stdin.forEach((bytes) async => connection.write(bytes));
    await connection.closeWrite();
    await answer;
    await connection.close();
  } on OcheException catch (failure) {
    stderr.writeln(explain(failure));
    exitCode = 1;
  }
}

/// The classes are sealed: leave one out and the compiler tells, where there is no `_`.
String explain(OcheException failure) => switch (failure) {
      ConnectFailedException(:final osError, :final port) => 'nobody serves port $port: ${osError?.message}',
      TimedOutException() => 'no answer within five seconds',
      ReadFailedException() || WriteFailedException() => 'the connection broke: ${failure.osError?.message}',
      DaemonUnavailableException(:final message) => 'there is no daemon: $message',
      LibraryNotFoundException(:final message) => message,
      _ => '$failure',
    };
