/// The sending side of a socket of dart:io.
library;

import 'dart:async';
import 'dart:typed_data';

import '../exceptions.dart';
import '../outbox.dart';
import '../transport.dart';

/// What an `IOSink` writes to: takes bytes as long as there is room, and holds the stream back when there is not.
final class Writer implements StreamConsumer<List<int>>, BreakWatcher {
  /// [onFailed] is called with the failure when bytes could not be sent, and with null when a stream to be sent has an
  /// error; [onClosed] when the end of the stream was sent.
  Writer(this._transport, this._socket, {required this.onFailed, required this.onClosed}) {
    _transport.breakWatcher = WeakReference(this);
  }

  final Transport _transport;

  /// What futures complete with, as dart:io has it.
  final Object _socket;

  /// The socket is of no use any more.
  final void Function(OcheException? failure) onFailed;

  /// Nothing more will be sent.
  final void Function() onClosed;

  bool _isDetached = false;

  StreamSubscription<List<int>>? _subscription;
  Completer<Object?>? _completer;

  @override
  Future<Object?> addStream(Stream<List<int>> stream) {
    final completer = _completer = Completer<Object?>();
    if (_transport.isClosed || _isDetached) {
      _complete();
    } else {
      _subscription = stream.listen(
        _add,
        onError: _onSourceFailed,
        onDone: _complete,
        cancelOnError: true,
      );
    }
    return completer.future;
  }

  void _add(List<int> bytes) {
    final data = bytes is Uint8List ? bytes : Uint8List.fromList(bytes);
    final room = _transport.write(data, 0, data.length);
    if (identical(room, Outbox.done)) return;
    final subscription = _subscription?..pause();
    room.then((_) => subscription?.resume(), onError: _onWriteFailed);
  }

  void _onSourceFailed(Object error, StackTrace trace) {
    stop(error, trace);
    onFailed(null);
  }

  void _onWriteFailed(Object failure, StackTrace trace) {
    if (_completer == null) return; // stopped
    stop(failure, trace);
    onFailed(failure as OcheException);
  }

  /// Says so to who waits for [addStream], which an `IOSink` does from the first byte on, until it is flushed or closed.
  @override
  void onBroken(OcheException failure) {
    stop(failure, StackTrace.current);
    onFailed(failure);
  }

  void _complete() {
    _subscription = null;
    _completer?.complete(_socket);
    _completer = null;
  }

  /// Takes no more; what [addStream] returned completes, with the failure if there is one.
  void stop([Object? failure, StackTrace? trace]) {
    final completer = _completer;
    unawaited(_subscription?.cancel());
    _subscription = _completer = null;
    if (failure == null) {
      completer?.complete(_socket);
    } else {
      completer?.completeError(failure, trace);
    }
  }

  /// The connection is somebody else's from now on: what is written here goes nowhere.
  void detach() {
    stop();
    _isDetached = true;
  }

  /// Fails if something that was written could not be sent. As in dart:io it does not if all was taken by the system,
  /// which then refuses to send the end of the stream; nor if the socket was destroyed.
  @override
  Future<Object?> close() async {
    if (_isDetached) return _socket;
    try {
      await _transport.closeWrite();
    } on OcheException catch (refusal) {
      final failure = _transport.outbox.failure ?? (refusal is WriteFailedException ? null : refusal);
      if (failure != null && failure is! ClosedException) {
        onFailed(failure);
        throw failure;
      }
    }
    onClosed();
    return _socket;
  }
}
