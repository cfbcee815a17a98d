/// Connecting to whichever address of a host answers.
library;

import 'dart:async';
import 'dart:io' show InternetAddress;

import '../bindings.dart';
import '../connection.dart';
import '../exceptions.dart';

/// Tries the addresses of a host in their order, as soon as they are known: the next one when an attempt fails or has
/// taken [headStart], while the earlier ones go on (RFC 8305). The first to succeed is the [connection]; the others
/// are given up.
final class Dialing {
  /// Begins. That the addresses, which are those of [_host], fail is the failure of the [connection].
  Dialing(Future<List<InternetAddress>> addresses, this._host, this._port, this._connect) {
    addresses.then(_start, onError: _fail);
  }

  /// As dart:io has it; RFC 8305 recommends the same.
  static const headStart = Duration(milliseconds: 250);

  final Object? _host;
  final int _port;
  final ConnectionAttempt Function(InternetAddress address) _connect;

  final _completer = Completer<Connection>();
  final _attempts = <ConnectionAttempt>[];
  List<InternetAddress> _addresses = const []; // until they are known
  int _tried = 0;
  Timer? _timer;
  Object? _firstFailure;
  StackTrace? _firstTrace;

  /// The connection, or the failure of the first attempt that failed.
  Future<Connection> get connection => _completer.future;

  /// Gives up: [connection] fails with a [ClosedException], unless there is one already.
  void cancel() => _giveUp(isTimeOut: false);

  /// The same with a [TimedOutException].
  void timeOut() => _giveUp(isTimeOut: true);

  /// What giving up is told as.
  OcheException failure({required bool isTimeOut}) {
    final host = switch (_host) { InternetAddress(:final host) => host, final other => '$other' };
    return OcheException.of(isTimeOut ? TCP_ERR_TIMED_OUT : TCP_ERR_CLOSED, 'connect', host: host, port: _port);
  }

  void _giveUp({required bool isTimeOut}) {
    if (_completer.isCompleted) return;
    _fail(failure(isTimeOut: isTimeOut), StackTrace.current);
    _stop();
  }

  void _stop() {
    _tried = _addresses.length;
    _timer?.cancel();
    for (final attempt in _attempts.toList()) {
      attempt.cancel();
    }
  }

  void _start(List<InternetAddress> addresses) {
    if (_completer.isCompleted) return;
    _addresses = addresses;
    _tryNext();
  }

  void _tryNext() {
    _timer?.cancel();
    if (_tried == _addresses.length) return;
    final ConnectionAttempt attempt;
    try {
      attempt = _connect(_addresses[_tried++]);
    } on Exception catch (failure, trace) {
      return _fail(failure, trace); // no library: nor will there be one for the others
    }
    _attempts.add(attempt);
    if (_tried < _addresses.length) _timer = Timer(headStart, _tryNext);
    attempt.connection.then(
      (connection) {
        _attempts.remove(attempt);
        _succeed(connection);
      },
      onError: (Object failure, StackTrace trace) {
        _attempts.remove(attempt);
        _firstFailure ??= failure;
        _firstTrace ??= trace;
        if (failure is OcheException && failure.operation == 'open') {
          _tried = _addresses.length; // no daemon: nor would there be one for the others
        }
        if (_tried < _addresses.length) {
          _tryNext();
        } else if (_attempts.isEmpty) {
          _fail(_firstFailure!, _firstTrace!);
        }
      },
    );
  }

  void _succeed(Connection connection) {
    if (_completer.isCompleted) return connection.destroy();
    _stop();
    _completer.complete(connection);
  }

  void _fail(Object failure, StackTrace trace) {
    if (!_completer.isCompleted) _completer.completeError(failure, trace);
  }
}
