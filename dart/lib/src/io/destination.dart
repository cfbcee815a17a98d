/// Which destinations are the daemon's.
library;

import 'dart:io';

/// Overrides that leave some destinations to dart:io.
abstract interface class Destinations {
  /// Whether connections to [host] and [port] are the daemon's.
  bool isServedByDaemon(Object? host, int port);
}

/// Whether connections that are made here to [host] and [port] are the daemon's: if overrides are in force that say so.
bool isServedByDaemon(Object? host, int port) => switch (IOOverrides.current) {
      final Destinations overrides => overrides.isServedByDaemon(host, port),
      _ => false,
    };
