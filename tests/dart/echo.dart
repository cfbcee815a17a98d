/// An echo server and its client in one isolate. Neither has a socket: the daemon does.
///
///     tools/dart tests/dart/echo.dart [TEXT]
library;

import 'dart:convert';
import 'dart:io';

import 'client.dart';

Future<void> main(List<String> arguments) async {
  final text = arguments.isEmpty ? 'one hundred and eighty!' : arguments.join(' ');

  final client = Client.open();
  final listener = await client.listen(InternetAddress.loopbackIPv4, 0);
  final port = client.localPort(listener);
  print('the daemon listens on 127.0.0.1:$port for us');
  final served = serveOne(client, listener);

  final connection = await client.connect(InternetAddress.loopbackIPv4, port);
  print('connected from port ${client.localPort(connection)}; sending "$text"');
  await client.write(connection, utf8.encode(text));
  await client.closeWrite(connection);
  final answer = utf8.decode(await client.readAll(connection));
  print('the echo says "$answer"');

  await served;
  await client.close(connection);
  await client.destroy();
  if (answer != text) {
    print('that is not what was sent');
    exitCode = 1;
  }
}

/// Accepts a connection and sends back what comes.
Future<void> serveOne(Client client, int listener) async {
  final connection = await client.accept(listener);
  print('accepted a connection from port ${client.remotePort(connection)}');
  await for (final data in client.stream(connection)) {
    await client.write(connection, data);
  }
  await client.close(connection);
}
