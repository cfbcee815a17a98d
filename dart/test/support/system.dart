/// Addresses and sockets of the system, in whichever zone.
library;

import 'dart:io';
import 'dart:typed_data';

import 'testing.dart';

final loopback = InternetAddress.loopbackIPv4;

/// Addresses of the Unix domain: as long as those of IPv4 and IPv6 with the zero at the end, and longer.
final paths = [
  for (final path in ['abc', '/tmp/abcdefghij', '/a/path/that/is/longer/than/an/address'])
    InternetAddress(path, type: InternetAddressType.unix),
];

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

/// Sets an option of sockets in general, by its number.
void setSocketOption(RawSocket socket, int option, List<int> value) => socket.setRawOption(
    RawSocketOption(RawSocketOption.levelSocket, option, Uint8List.sublistView(Int32List.fromList(value))));

/// Makes the system end the connection with a reset instead of the end of the stream.
void resetOnClose(RawSocket socket) => setSocketOption(socket, 13, [1, 0]); // SO_LINGER, on, without time
