/// The socket options of dart:io.
library;

import 'dart:ffi';
import 'dart:io';
import 'dart:typed_data';

import '../bindings.dart';
import '../native.dart';
import '../transport.dart';

/// An option of a connection that is on or off.
enum FlagOption {
  /// SO_KEEPALIVE.
  keepAlive(tcp_get_keep_alive, oche_isolate_set_keep_alive),

  /// TCP_NODELAY.
  noDelay(tcp_get_no_delay, oche_isolate_set_no_delay);

  const FlagOption(this.get, this.set);

  /// The option of a handle: 0, 1 or a code.
  final int Function(int handle) get;

  /// Requests a change.
  final int Function(int requestId, int handle, bool enabled) set;

  static const _tcpNoDelay = 1; // netinet/tcp.h
  static const _soKeepAlive = 9; // asm-generic/socket.h

  /// The option that a raw one means, or null. The value of one has four bytes.
  static FlagOption? of(RawSocketOption raw) => switch ((raw.level, raw.option)) {
        _ when raw.value.length < 4 => null,
        (final level, _tcpNoDelay) when level == RawSocketOption.levelTcp => noDelay,
        (final level, _soKeepAlive) when level == RawSocketOption.levelSocket => keepAlive,
        _ => null,
      };

  /// Puts the value into [place], as getsockopt() does, and returns it.
  static Uint8List encode(bool enabled, Uint8List place) =>
      place..buffer.asByteData(place.offsetInBytes).setInt32(0, enabled ? 1 : 0, Endian.host);

  /// The value as setsockopt() takes it.
  static bool decode(Uint8List value) => value.take(4).any((byte) => byte != 0);
}

/// More than any option has.
const _valueMax = 64;

final _value = allocate(_valueMax);

/// Reads an option of the connection into the value of [raw], which it returns. Waits for the daemon.
Uint8List getOption(Transport transport, RawSocketOption raw) {
  final size = raw.value.length.clamp(0, _valueMax);
  final length = transport.callWithOption(
    'getRawOption',
    (handle, osError) => oche_isolate_get_option(handle, raw.level, raw.option, _value, size, osError),
  );
  return raw.value..setAll(0, _value.asTypedList(length));
}

/// Sets an option of the connection to the value of [raw]. Waits for the daemon.
void setOptionOf(Transport transport, RawSocketOption raw) {
  final size = raw.value.length.clamp(0, _valueMax);
  _value.asTypedList(size).setRange(0, size, raw.value);
  transport.callWithOption(
    'setRawOption',
    (handle, osError) => oche_isolate_set_option(handle, raw.level, raw.option, _value, size, osError),
  );
}
