/// Hosts and ports as dart:io takes them.
library;

import 'dart:io';

/// The addresses of [host], an [InternetAddress] or a [String] with an address or a name, in the order in which the
/// system prefers them.
///
/// Throws an [ArgumentError] for anything else, and a [SocketException] if the name is not known.
Future<List<InternetAddress>> resolve(Object? host) async {
  if (host is InternetAddress) return [host];
  if (host is! String) {
    throw ArgumentError.value(host, 'host', 'must be an InternetAddress or a String');
  }
  if (InternetAddress.tryParse(host) case final address?) return [address];
  final addresses = await InternetAddress.lookup(host);
  if (addresses.isEmpty) throw SocketException('No addresses for "$host"');
  return addresses;
}

/// Throws an [ArgumentError] if there is no such port.
void checkPort(int port) {
  if (port < 0 || port > 0xffff) throw ArgumentError.value(port, 'port', 'must be from 0 to 65535');
}
