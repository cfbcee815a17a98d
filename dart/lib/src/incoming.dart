/// What comes on a connection, as a stream.
library;

import 'dart:async';
import 'dart:typed_data';

import 'exceptions.dart';
import 'transport.dart';

/// Reads from a transport as long as somebody listens, and not while the subscription is paused.
///
/// A failure is an error, and the end. If this side closes the connection, that is the end.
final class Incoming implements Reader {
  /// [_keeper] lives as long as a read is pending. [_onEnd] is called when there is nothing more to read, or nobody
  /// wants it any more; with the failure if the connection broke.
  Incoming(this._transport, this._keeper, {void Function(OcheException? failure)? onEnd}) : _onEnd = onEnd;

  final Transport _transport;
  final Object _keeper;
  final void Function(OcheException? failure)? _onEnd;
  bool _ended = false;

  /// What came when the subscription had just been paused.
  Uint8List? _held;

  late final StreamController<Uint8List> _controller = StreamController(
    sync: true, // events come from the port, with nothing of ours left to do behind them
    onListen: _read,
    onResume: _goOn,
    onCancel: () => end(),
  );

  /// For one subscription.
  Stream<Uint8List> get stream => _controller.stream;

  void _goOn() {
    final held = takeHeld();
    if (held == null) return _read();
    onData(held);
  }

  /// Takes what nobody has got yet, so that nobody does.
  Uint8List? takeHeld() {
    final held = _held;
    _held = null;
    return held;
  }

  void _read() {
    if (_ended || _transport.isReadBy(this) || _controller.isPaused) return;
    try {
      final refusal = _transport.read(this, _keeper);
      if (refusal != null) scheduleMicrotask(() => onReadFailed(refusal));
    } on StateError catch (error, trace) {
      // Thrown from here it would be an uncaught error, and the stream would wait for ever.
      scheduleMicrotask(() {
        if (!_ended) _controller.addError(error, trace);
        end();
      });
    }
  }

  @override
  void onData(Uint8List data) {
    if (_ended) return;
    if (_controller.isPaused) {
      _held = data;
      return;
    }
    _controller.add(data);
    if (_controller.hasListener) _read();
  }

  @override
  void onEnd() => end();

  @override
  void onReadFailed(OcheException failure) {
    if (failure is ClosedException) return end();
    if (_ended) return;
    _giveHeld();
    _controller.addError(failure);
    end(failure);
  }

  /// Ends the stream without a word to anybody but who listens.
  void detach() {
    if (_ended) return;
    _ended = true;
    unawaited(_controller.close());
  }

  void _giveHeld() {
    final held = takeHeld();
    if (held != null) _controller.add(held);
  }

  /// Ends the stream.
  void end([OcheException? failure]) {
    if (_ended) return;
    _giveHeld();
    _ended = true;
    unawaited(_controller.close());
    _onEnd?.call(failure);
  }
}
