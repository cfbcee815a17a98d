/// Addresses of this host, and what is at them. Whoever asks, the sockets here are those of the system.
library;

import 'dart:io';

import 'testing.dart';

final loopback = InternetAddress.loopbackIPv4;

/// A port of a loopback address of our own where nobody listens.
Future<(InternetAddress, int)> deadEnd() async {
  final address = InternetAddress('127.84.${pid >> 8 & 255}.${pid & 255}');
  final server = await RawServerSocket.bind(address, 0);
  final port = server.port;
  await server.close();
  return (address, port);
}

Future<void> needIpv6() async {
  try {
    await (await RawServerSocket.bind(InternetAddress.loopbackIPv6, 0)).close();
  } on SocketException catch (exception) {
    throw Skip('no IPv6 here: ${exception.message}');
  }
}
