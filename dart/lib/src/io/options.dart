/// The socket options of dart:io that the daemon knows.
library;

import 'dart:io';
import 'dart:typed_data';

import '../bindings.dart';

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

  /// The option that a raw one means, or null.
  static FlagOption? of(RawSocketOption raw) => switch ((raw.level, raw.option)) {
        (final level, _tcpNoDelay) when level == RawSocketOption.levelTcp => noDelay,
        (final level, _soKeepAlive) when level == RawSocketOption.levelSocket => keepAlive,
        _ => null,
      };

  /// The value as getsockopt() gives it.
  static Uint8List encode(bool enabled) => Uint8List(4)..buffer.asByteData().setInt32(0, enabled ? 1 : 0, Endian.host);

  /// The value as setsockopt() takes it.
  static bool decode(Uint8List value) => value.any((byte) => byte != 0);
}

/// For options that stay with the daemon. An [OSError], as dart:io has it.
Never refuseOption(RawSocketOption raw) => throw OSError(
      'Protocol not available: oche knows TCP_NODELAY and SO_KEEPALIVE only, not option ${raw.option} of level ${raw.level}',
      92, // ENOPROTOOPT
    );
