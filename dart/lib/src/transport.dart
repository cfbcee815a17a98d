/// A connection as the session sees it: its handle, and what is pending on it.
library;

import 'dart:async';
import 'dart:ffi';
import 'dart:math' as math;
import 'dart:typed_data';

import 'address.dart';
import 'bindings.dart';
import 'endpoints.dart';
import 'exceptions.dart';
import 'native.dart';
import 'outbox.dart';
import 'session.dart';
import 'structs.dart';

/// Who wants to know what a read brings.
abstract interface class Reader {
  /// Bytes have come, in memory that is the receiver's from now on.
  void onData(Uint8List data);

  /// The peer has sent everything.
  void onEnd();

  /// The connection broke; or, with a [ClosedException], this side has closed it.
  void onReadFailed(OcheException failure);
}

/// Who wants to know that nothing more can be sent on a connection, though no future of its may be open.
abstract interface class BreakWatcher {
  /// A write has failed, or the connection broke.
  void onBroken(OcheException failure);
}

/// Whoever accepted a connection, without the object that the application has, so that this one can be collected.
final class Acceptor {
  /// Has closed all connections that it accepted.
  bool closesAll = false;
}

/// One end of a connection: an open handle.
///
/// It knows nothing of the object that the application has, so that this one can be collected, and closed by its
/// finalizer, when the application has forgotten it; but for [keeper], as long as something is pending.
final class Transport extends SessionClient implements OutboxSink {
  static const _read = 1;
  static const _write = 2;
  static const _close = 3;

  final Session _session;
  final Acceptor? _acceptor;

  /// As the library knows it.
  final int handle;
  late final int _slot = _session.add(this);
  late final int _readId = Session.requestId(_slot, _read);
  late final int _heardWriteId = Session.requestId(_slot, _write);
  late final int _quietWriteId = -_heardWriteId;

  /// What is to be sent.
  late final outbox = Outbox(this);

  Reader? _reader;
  Timer? _room;
  bool _registered = false;
  bool _writeClosed = false;
  Future<void>? _closed;
  Completer<void>? _closing;

  /// The application's object, which is [keeper] while a read waits for data.
  Object? keeper;

  /// Is told, once, that nothing more can be sent. May be collected all the same.
  WeakReference<BreakWatcher>? breakWatcher;

  /// Takes the handle over.
  Transport(this._session, this.handle, this.endpoints, [this._acceptor]);

  /// This side has closed the connection, or is about to.
  bool get isClosed => _closed != null || (_acceptor?.closesAll ?? false);

  // ---- reading ----

  /// Whether a read for [reader] is under way.
  bool isReadBy(Reader reader) => identical(_reader, reader);

  /// Reads once: one of the functions of [reader] will be called. Returns what speaks against it at once, but throws a
  /// [StateError] if somebody else reads.
  OcheException? read(Reader reader, Object keptAlive) {
    if (_reader != null) throw StateError('a read is pending on this connection');
    if (isClosed) return closedHere('read');
    _readsOn();
    final status = tcp_read(_readId, handle);
    if (status < 0) return _exception(status, 'read', 0);
    _session.addPending();
    _reader = reader;
    keeper = keptAlive;
    return null;
  }

  void _onRead(int result, Object? detail) {
    final reader = _reader;
    if (reader == null) return; // closed meanwhile
    _reader = keeper = null;
    if (result > 0) {
      final data = _withAhead(detail as Uint8List);
      _isBusy = true;
      _broughtAt = _clock.elapsedMicroseconds;
      reader.onData(data);
    } else if (result == TCP_ERR_CLOSED && !isClosed) {
      reader.onEnd();
    } else {
      reader.onReadFailed(_exception(result, 'read', detail as int));
    }
  }

  /// So much is joined in any case, because that costs no more than another event would.
  static const _fewBytes = 64 * 1024;

  /// More is joined for an application that gets through fewer bytes than these in a microsecond. Joining is many times
  /// as fast, so it costs a fraction of what is done anyway. One that is faster gets what has come piece by piece, as it
  /// is: for that one copying would be most of the work.
  static const _slow = 128;

  static final _clock = Stopwatch()..start();

  /// When data were last brought, to whichever connection: what an isolate that has many did for the others is not taken
  /// for slowness of one's own.
  static int _broughtAt = 0;

  /// Whether data were brought here, and the application has not read on since.
  bool _isBusy = false;

  /// How many bytes the application was slow enough for, last time, to join them.
  int _worthJoining = 0;

  void _readsOn() {
    if (!_isBusy) return;
    _isBusy = false;
    _worthJoining = (_clock.elapsedMicroseconds - _broughtAt) * _slow;
  }

  /// The data of a read, joined with what has come since, as a system call would bring it: programs that were written for
  /// dart:io rely on getting in one event what has been sent at once, and those that join what they have at each event
  /// take long if there are many.
  Uint8List _withAhead(Uint8List data) {
    final room = math.max(_fewBytes, _worthJoining) - data.length;
    final ahead = oche_isolate_ahead(handle, math.max(0, room));
    if (ahead <= 0) return data;
    final total = data.length + ahead;
    final joined = total <= _fewBytes ? Uint8List(total) : allocateList(total);
    if (joined == null) return data;
    joined.setRange(0, data.length, data);
    final taken = oche_isolate_take(handle, joined.address, data.length, ahead);
    return taken == ahead ? joined : data; // it takes all of it, or the connection is lost, and with it all of it
  }

  // ---- writing ----

  @override
  int send(Uint8List data, int offset, int count, {required bool isHeard}) {
    final id = isHeard ? _heardWriteId : _quietWriteId;
    final status = tcp_write(id, handle, data.address, offset, count);
    if (status < 0) return status;
    if (isHeard) {
      _session.addPending();
    } else if (!_registered) {
      _registered = true;
      _session.beforeIdle(this);
    }
    return 0;
  }

  @override
  void awaitRoom() {
    // Writes of any connection fill the queue, heard or not, so there is no single event to wait for.
    _room ??= Zone.root.createTimer(const Duration(milliseconds: 2), () {
      _room = null;
      outbox.pump();
    });
  }

  @override
  void settle() {
    _registered = false;
    outbox.settle();
  }

  @override
  void onFailure(OcheException failure) {
    if (!isClosed) _tellBreak(failure);
  }

  void _tellBreak(OcheException failure) => breakWatcher?.target?.onBroken(failure);

  /// Writes behind what was written before.
  Future<void> write(Uint8List data, int offset, int count) {
    if (isClosed) return Future.error(closedHere('write'), StackTrace.current);
    if (_writeClosed) {
      return Future.error(
        _exception(TCP_ERR_WRITE_FAILED, 'write', 0, message: 'The sending side was closed before'),
        StackTrace.current,
      );
    }
    return outbox.write(data, offset, count);
  }

  /// Completes when all that was written has been given to the system.
  Future<void> flush() => isClosed ? Future.error(closedHere('flush'), StackTrace.current) : outbox.flush();

  /// Sends the end of the stream behind all that was written.
  Future<void> closeWrite() async {
    if (isClosed) throw closedHere('closeWrite');
    if (_writeClosed) return;
    _writeClosed = true;
    if (!outbox.isEmpty) await outbox.flush();
    if (outbox.failure case final failure?) throw failure;
    if (isClosed) throw closedHere('closeWrite');
    await OneRequest<void>(
      _session,
      (id) => tcp_close_write(id, handle),
      (_, __) {},
      (code, errno) => _exception(code, 'closeWrite', errno),
    ).outcome;
  }

  // ---- TLS ----

  /// The session that it belongs to.
  Session get session => _session;

  /// Puts TLS on the connection, with the context of that handle: as a client of [serverName], or as a server. Completes
  /// with null when it is done, or, if it [asks], with what is wrong with the certificate: then [trust] goes on. The
  /// connection is closed if it fails.
  Future<String?> secure(
    int context, {
    required String? serverName,
    required List<int>? unread,
    required bool asks,
    required Duration? timeout,
  }) async {
    if (isClosed) throw closedHere('secure');
    _unread.addAll(await takeBack());
    if (!outbox.isSettled) await outbox.flush();
    if (outbox.failure case final failure?) throw failure;
    if (isClosed) throw closedHere('secure');
    final all = [...?unread, ..._unread];
    return _endIfFails(
      OneRequest<String?>(
        _session,
        (id) => Scratch.use((scratch) {
          final options = scratch.allocateBytes(sizeOf<OcheSecureOptions>()).cast<OcheSecureOptions>();
          options.ref
            ..size = sizeOf<OcheSecureOptions>()
            ..tlsContext = context
            ..serverName = scratch.string(serverName)
            ..unread = scratch.copy(all)
            ..unreadLength = all.length
            ..asks = asks;
          final status = oche_secure(oche_isolate_session(), id, handle, options);
          if (status == 0 && timeout != null) oche_isolate_limit(id, Session.milliseconds(timeout));
          return status;
        }),
        (_, detail) => detail as String?,
        (code, errno) => code == TCP_ERR_INVALID_HANDLE
            ? OcheException.of(code, 'secure') // that of the context, perhaps
            : _exception(code, 'secure', errno),
        failureInWords: tlsFailure,
      ).outcome,
    );
  }

  /// Goes on with a handshake that has asked.
  Future<void> trust(Duration? timeout) => _endIfFails(
        OneRequest<void>(
          _session,
          (id) {
            final status = oche_trust(oche_isolate_session(), id, handle);
            if (status == 0 && timeout != null) oche_isolate_limit(id, Session.milliseconds(timeout));
            return status;
          },
          (_, __) {},
          (code, errno) => _exception(code, 'secure', errno),
          failureInWords: tlsFailure,
        ).outcome,
      );

  Future<T> _endIfFails<T>(Future<T> request) async {
    try {
      return await request;
    } on InvalidHandleException {
      rethrow; // nothing has been asked of the daemon
    } on OcheException {
      release();
      rethrow;
    }
  }

  /// The failure that [words] are about.
  OcheException tlsFailure(int code, String words) => _exception(code, 'secure', 0, message: words);

  /// What was taken back for TLS, which may be tried again.
  final _unread = <int>[];

  /// Ends a read that waits for data. Completes with what it has brought after all.
  Future<Uint8List> takeBack() async {
    if (_reader == null) return Uint8List(0);
    final taken = _TakenBack();
    _reader = taken;
    keeper = null;
    oche_isolate_cancel(_readId); // if that is too late, what it has brought is on its way
    return taken.completer.future;
  }

  // ---- options ----

  /// Requests a change of an option by [call].
  Future<void> setOption(int Function(int id, int handle) call) {
    if (isClosed) return Future.error(closedHere('setOption'), StackTrace.current);
    return OneRequest<void>(
      _session,
      (id) => call(id, handle),
      (_, __) {},
      (code, errno) => _exception(code, 'setOption', errno),
    ).outcome;
  }

  /// Reads or sets an option by [call], which waits for the daemon, and returns its result. Throws if it fails.
  int callWithOption(String operation, int Function(int handle, Pointer<Int32> osError) call) {
    if (isClosed) throw closedHere(operation);
    final status = call(handle, _osError);
    if (status < 0) throw _exception(status, operation, status == TCP_ERR_SOCKET_OPTION ? _osError.value : 0);
    return status;
  }

  static final _osError = allocate(4).cast<Int32>();

  // ---- the end ----

  /// Sends what is still to be sent, then closes. Never fails: there is nothing that the caller could do.
  Future<void> close() {
    if (_closed case final closed?) return closed;
    final closing = _closing = Completer<void>.sync();
    final closed = _closed = closing.future;
    _stopReading();
    if (outbox.isSettled || outbox.failure != null) {
      _closeNow();
    } else {
      outbox.flush().whenComplete(_closeNow).ignore();
    }
    return closed;
  }

  /// Closes at once. What was handed on is still sent; if there is more, which is dropped, the peer sees a reset.
  void destroy() => _end(aborts: !outbox.isEmpty);

  /// Closes at once, with a reset; what was not sent yet is dropped.
  void abort() => _end(aborts: true);

  /// Closes as a system closes what a program leaves behind: what was handed on is still sent, the rest is dropped.
  void release() {
    if (_closed != null) return;
    outbox.drop(closedHere('write'));
    _end(aborts: false);
  }

  void _end({required bool aborts}) {
    if (_closing == null && _closed != null) return;
    _closed ??= (_closing = Completer<void>.sync()).future;
    _stopReading();
    _closeNow(aborts: aborts);
    outbox.fail(closedHere('write'));
  }

  void _stopReading() {
    final reader = _reader;
    _reader = keeper = null;
    reader?.onReadFailed(closedHere('read'));
  }

  bool _closeRequested = false;

  void _closeNow({bool aborts = false}) {
    if (_closeRequested) return;
    _closeRequested = true;
    final id = Session.requestId(_slot, _close);
    if ((aborts ? oche_isolate_abort(id, handle) : tcp_close(id, handle)) == 0) {
      _session.addPending();
    } else {
      _onClosed(TCP_ERR_DAEMON_LOST);
    }
  }

  void _onClosed(int result) {
    if (result == 0) {
      _session.remove(_slot); // all else that was pending has completed before
    } else {
      _session.retire(_slot); // lost with the daemon: completions come in any order
    }
    final closing = _closing;
    _closing = null;
    closing?.complete();
  }

  @override
  void onCompletion(int kind, int result, Object? detail) {
    switch (kind) {
      case _read:
        _onRead(result, detail);
      case _write when result >= 0:
        outbox.onSent();
      case _write when result == TCP_ERR_READ_FAILED:
        _tellBreak(failure(TCP_ERR_WRITE_FAILED, detail as int));
      case _write:
        outbox.onFailed(result, detail as int);
      case _close:
        _onClosed(result);
    }
  }

  // ---- what it is called ----

  /// Both ends.
  final Endpoints endpoints;

  // ---- failures ----

  @override
  OcheException failure(int code, int errno) => _exception(code, 'write', errno);

  /// A question about a handle that is not there any more.
  OcheException gone(String operation) =>
      isClosed ? closedHere(operation) : _exception(TCP_ERR_DAEMON_LOST, operation, 0);

  /// An operation that comes too late.
  OcheException closedHere(String operation) =>
      _exception(TCP_ERR_CLOSED, operation, 0, message: 'This side has closed the connection');

  /// A handle that is ours and yet invalid was lost with the daemon.
  OcheException _exception(int code, String operation, int errno, {String? message}) => OcheException.of(
        code == TCP_ERR_INVALID_HANDLE && !isClosed ? TCP_ERR_DAEMON_LOST : code,
        operation,
        errno: errno,
        address: endpoints.remoteAddress,
        port: endpoints.remotePort,
        message: message,
      );
}

/// Has taken the place of a reader who does not want to read any more.
final class _TakenBack implements Reader {
  final completer = Completer<Uint8List>.sync();

  @override
  void onData(Uint8List data) => completer.complete(data);

  @override
  void onEnd() => completer.complete(Uint8List(0)); // which is what a read that is cancelled comes to as well

  @override
  void onReadFailed(OcheException failure) => completer.complete(Uint8List(0));
}
