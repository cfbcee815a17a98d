/// What is to be sent on a connection: how far it has got, and who waits for that.
library;

import 'dart:async';
import 'dart:collection';
import 'dart:typed_data';

import 'bindings.dart';
import 'exceptions.dart';

/// How an [Outbox] hands bytes on.
abstract interface class OutboxSink {
  /// Sends bytes of [data] from [offset] on. If [isHeard], [Outbox.onSent] is called when they have been given to the
  /// system; else only [Outbox.onFailed], if they cannot be. Returns 0 or a code.
  int send(Uint8List data, int offset, int count, {required bool isHeard});

  /// There is no room for more now: calls [Outbox.pump] when there may be.
  void awaitRoom();

  /// A write has failed, and so will all others.
  void onFailure(OcheException failure);

  /// The exception for a code.
  OcheException failure(int code, int errno);
}

/// The bytes that the application writes, in their order, counted from the first byte of the connection.
///
/// Few writes are worth a message when they are done: most are sent without one, and every [_heardEvery] bytes one asks
/// to be told, which stands for all before it. What a peer does not take piles up to [_highWater] outside of Dart, and the
/// futures of [write] hold the application back. One that does not wait for them may hand on as much as a system's own
/// buffer would take, [_burstMax] for all connections of the isolate together, so that it is sent also if the program
/// ends; the rest stays here.
final class Outbox {
  /// Made empty.
  Outbox(this._sink);

  final OutboxSink _sink;

  static const _heardEvery = 16 * 1024;
  static const _highWater = 512 * 1024;
  static const _pieceMax = 128 * 1024;
  static const _burstMax = 8 * 1024 * 1024;

  /// What was handed on beyond [_highWater]: by all connections of the isolate, and by this one.
  static int _bursts = 0;
  int _burst = 0;

  /// Ends of what was written, sent, sent with the wish to be told, and known to have been sent.
  int _written = 0;
  int _sent = 0;
  int _heard = 0;
  int _acknowledged = 0;

  final _pieces = ListQueue<_Piece>();
  final _heardEnds = ListQueue<int>();
  final _waiters = <_Waiter>[];
  bool _mustSettle = false;
  OcheException? _failure;

  /// What [write] returns when there is room. It is told in its own zone, which must not be that of who writes first.
  static final Future<void> done = Zone.root.run(Future<void>.value);

  /// All that was written has been given to the system.
  bool get isSettled => _acknowledged == _written;

  /// All that was written has been handed on.
  bool get isEmpty => _sent == _written;

  /// The first failure. Everything after it fails the same way.
  OcheException? get failure => _failure;

  /// Writes bytes of [data]. Completes when there is room for more. The bytes must not change before that.
  Future<void> write(Uint8List data, int offset, int count) {
    if (_failure case final failure?) return Future.error(failure, StackTrace.current);
    if (count == 0) return done;
    _written += count;
    if (_pieces.isEmpty && count <= _pieceMax && _mayHandOn) {
      if (!_send(data, offset, count)) _pieces.add(_Piece(data, offset, count));
    } else {
      _pieces.add(_Piece(data, offset, count));
      pump();
    }
    if (_failure case final failure?) return Future.error(failure, StackTrace.current);
    return _written - _acknowledged <= _highWater ? done : _wait(_written - _highWater ~/ 2);
  }

  /// Completes when all that was written so far has been given to the system.
  Future<void> flush() {
    if (_failure case final failure?) return Future.error(failure, StackTrace.current);
    settle();
    if (_failure case final failure?) return Future.error(failure, StackTrace.current);
    return isSettled ? done : _wait(_written);
  }

  /// Sees to it that [isSettled] becomes true, or [failure] is there, without further writes.
  void settle() {
    if (isEmpty && _heard < _sent && _failure == null) _mustSettle = !_send(_nothing, 0, 0);
  }

  static final _nothing = Uint8List(0);

  Future<void> _wait(int end) {
    final waiter = _Waiter(end);
    _waiters.add(waiter);
    return waiter.completer.future;
  }

  bool get _mayHandOn => _sent - _acknowledged < _highWater || _bursts < _burstMax;

  /// To be called when what was handed on and is not known to be sent has become more or less.
  void _countBurst() {
    final inFlight = _failure == null ? _sent - _acknowledged : 0;
    final burst = inFlight > _highWater ? inFlight - _highWater : 0;
    _bursts += burst - _burst;
    _burst = burst;
  }

  /// Sends what has been waiting, as far as there is room.
  void pump() {
    while (_pieces.isNotEmpty && _mayHandOn && _failure == null) {
      final piece = _pieces.first;
      final count = piece.count < _pieceMax ? piece.count : _pieceMax;
      if (!_send(piece.data, piece.offset, count)) return;
      piece.offset += count;
      piece.count -= count;
      if (piece.count == 0) _pieces.removeFirst();
    }
    if (_mustSettle) settle();
  }

  /// False: not sent, for want of room or because of a failure.
  bool _send(Uint8List data, int offset, int count) {
    final end = _sent + count;
    final isHeard = end - _heard >= _heardEvery || count == 0 || _pieces.isNotEmpty;
    final status = _sink.send(data, offset, count, isHeard: isHeard);
    if (status == 0) {
      _sent = end;
      _countBurst();
      if (isHeard) {
        _heard = end;
        _heardEnds.add(end);
      }
      return true;
    }
    if (status == TCP_ERR_OUT_OF_MEMORY) {
      _sink.awaitRoom();
    } else {
      fail(_sink.failure(status, 0));
    }
    return false;
  }

  /// A write that is heard was done.
  void onSent() {
    _acknowledged = _heardEnds.removeFirst();
    _countBurst();
    if (_pieces.isNotEmpty) pump();
    if (_waiters.isEmpty) return;
    final done = [
      for (final waiter in _waiters)
        if (waiter.end <= _acknowledged) waiter,
    ];
    _waiters.removeWhere((waiter) => waiter.end <= _acknowledged);
    for (final waiter in done) {
      waiter.completer.complete();
    }
  }

  /// A write failed, heard or not; others may follow.
  void onFailed(int code, int errno) {
    if (_failure == null) fail(_sink.failure(code, errno));
  }

  /// Drops what has not been handed on; who waits for it fails.
  void drop(OcheException failure) {
    _pieces.clear();
    _written = _sent;
    final late = [
      for (final waiter in _waiters)
        if (waiter.end > _sent) waiter,
    ];
    _waiters.removeWhere((waiter) => waiter.end > _sent);
    for (final waiter in late) {
      waiter.completer.completeError(failure, StackTrace.current);
    }
  }

  /// Ends all that waits, and what is to come.
  void fail(OcheException failure) {
    if (_failure != null) return;
    _failure = failure;
    _countBurst();
    _pieces.clear();
    final waiters = _waiters.toList();
    _waiters.clear();
    for (final waiter in waiters) {
      waiter.completer.completeError(failure, StackTrace.current);
    }
    _sink.onFailure(failure);
  }
}

final class _Piece {
  _Piece(this.data, this.offset, this.count);

  final Uint8List data;
  int offset;
  int count;
}

final class _Waiter {
  _Waiter(this.end);

  final int end;
  final completer = Completer<void>.sync();
}
