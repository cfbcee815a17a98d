/// What comes on a connection, as a stream.
library;

import 'dart:async';
import 'dart:typed_data';

import 'exceptions.dart';
import 'transport.dart';

/// Reads from [transport] as long as somebody listens. [keeper] lives as long as a read is pending.
///
/// A failure is an error and the end. With [endsWhenClosed] it is the end alone if this side has closed the connection.
Stream<Uint8List> readStream(Transport transport, Object keeper, {bool endsWhenClosed = false}) =>
    _ReadStream(transport, keeper, endsWhenClosed)._controller.stream;

final class _ReadStream implements Reader {
  _ReadStream(this._transport, this._keeper, this._endsWhenClosed);

  final Transport _transport;
  final Object _keeper;
  final bool _endsWhenClosed;

  late final _controller = StreamController<Uint8List>(
    sync: true, // events come from the port, with nothing of ours left to do behind them
    onListen: _read,
    onResume: _read,
  );

  void _read() {
    if (_transport.isReading || !_controller.hasListener || _controller.isPaused) return;
    final refusal = _transport.read(this, _keeper);
    if (refusal != null) scheduleMicrotask(() => onReadFailed(refusal));
  }

  @override
  void onData(Uint8List data) {
    _controller.add(data);
    _read();
  }

  @override
  void onEnd() => unawaited(_controller.close());

  @override
  void onReadFailed(OcheException failure) {
    if (_controller.isClosed) return;
    if (!_endsWhenClosed || failure is! ClosedException) _controller.addError(failure);
    unawaited(_controller.close());
  }
}
