/// Isolates whose sockets are the daemon's.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import '../library.dart';
import 'http_client.dart';
import 'overrides.dart';

/// New isolates that have sockets of the daemon.
///
/// Overrides are an isolate's: one that [Isolate.run] or [Isolate.spawn] starts has dart:io's own sockets again, also
/// from within `runWithOche`. Those that are started here have the [OcheOverrides] of whoever starts them, or plain ones
/// if there are none, for all of the isolate.
///
/// What the overrides refer to, such as their `staysWithDartIo`, is sent to the new isolate, which has to be possible.
abstract final class OcheIsolate {
  /// As [Isolate.run].
  static Future<R> run<R>(FutureOr<R> Function() computation, {String? debugName}) {
    final start = _Start.here();
    return Isolate.run(() {
      start.apply();
      return computation();
    }, debugName: debugName);
  }

  /// As [Isolate.spawn].
  static Future<Isolate> spawn<T>(
    void Function(T message) entryPoint,
    T message, {
    bool paused = false,
    bool errorsAreFatal = true,
    SendPort? onExit,
    SendPort? onError,
    String? debugName,
  }) =>
      Isolate.spawn(
        _enter<T>,
        (_Start.here(), entryPoint, message),
        paused: paused,
        errorsAreFatal: errorsAreFatal,
        onExit: onExit,
        onError: onError,
        debugName: debugName,
      );

  static void _enter<T>((_Start, void Function(T message), T) sent) {
    final (start, entryPoint, message) = sent;
    start.apply();
    entryPoint(message);
  }
}

/// What a new isolate has to know to be like the one that starts it.
final class _Start {
  _Start.here()
      : _overrides = switch (IOOverrides.current) {
          final OcheOverrides overrides => overrides,
          _ => OcheOverrides(),
        };

  final OcheOverrides _overrides;
  final String? _library = chosenLibrary;

  void apply() {
    chosenLibrary = _library;
    IOOverrides.global = _overrides;
    HttpOverrides.global = OcheHttpOverrides();
  }
}
