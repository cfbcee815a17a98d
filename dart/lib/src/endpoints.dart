/// What the ends of a socket are called.
library;

import 'dart:io' show InternetAddress;
import 'dart:typed_data';

import 'address.dart';

/// The ends of a socket, which came with its handle: they are known as long as somebody wants to know, whatever becomes
/// of the daemon.
final class Endpoints {
  /// Of the bytes that come with OCHE_FEATURE_ENDPOINTS. If this end is at [named], that is what [localAddress] returns: it
  /// may have the name of a host.
  Endpoints(Object? bytes, [this._named]) : _bytes = bytes! as Uint8List;

  final Uint8List _bytes;
  final InternetAddress? _named;

  /// This end.
  late final InternetAddress localAddress = _nameOf(_address(8, _bytes[0], 40));

  /// The port of this end.
  int get localPort => _port(2);

  /// The peer. A listener has none.
  late final InternetAddress remoteAddress = _address(24, _bytes[1], 44);

  /// The peer's port.
  int get remotePort => _port(4);

  InternetAddress _nameOf(InternetAddress address) => address == _named ? _named! : address;

  InternetAddress _address(int offset, int length, int scopeOffset) =>
      addressOf(Uint8List.fromList(Uint8List.sublistView(_bytes, offset, offset + length)), _scope(scopeOffset));

  int _scope(int offset) => _bytes.buffer.asByteData(_bytes.offsetInBytes).getUint32(offset, Endian.little);

  int _port(int offset) => _bytes[offset] | _bytes[offset + 1] << 8;
}
