/// An echo server. The daemon has the sockets; this program only says what to send.
///
///     dart run example/echo_server.dart [PORT]
library;

import 'dart:async';
import 'dart:io';

import 'package:oche/oche.dart';

Future<void> main(List<String> arguments) async {
  final port = arguments.isEmpty ? 7007 : int.parse(arguments.first);
  final listener = await Listener.bind(InternetAddress.loopbackIPv4, port);
  stdout.writeln('listening on 127.0.0.1:${listener.port}');
  while (true) {
    unawaited(serve(await listener.accept()));
  }
}

/// Sends back what comes, until the peer has sent everything.
Future<void> serve(Connection connection) async {
  try {
    while (true) {
      final bytes = await connection.read();
      if (bytes == null) break;
      await connection.write(bytes);
    }
  } on OcheException catch (failure) {
    stderr.writeln(failure); // a peer that reset its connection: nobody else is concerned
  } finally {
    await connection.close();
  }
}
