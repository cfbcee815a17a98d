/// What can go wrong, one class for each error code.
library;

import 'dart:ffi';
import 'dart:io' show HandshakeException, InternetAddress, OSError, SocketException;

import 'bindings.dart';
import 'native.dart';

/// What an exception tells.
typedef _Facts = ({
  int code,
  String operation,
  String message,
  OSError? osError,
  InternetAddress? address,
  int? port,
  bool isOfDartIo, // dart:io has such a failure
  bool saysWhere, // the message does
});

/// A failure of a socket that oche serves.
///
/// As a text, a failure that dart:io has, too, is what it is there: `SocketException: Connection refused (OS Error:
/// Connection refused, errno = 111), address = localhost, port = 80`. The others begin with the name of their class.
///
/// There is one subclass for each error code of `oche/tcp_socket.h`, so a `switch` over an [OcheException] can be
/// exhaustive. Code that catches the [SocketException] of dart:io catches these, too.
sealed class OcheException implements SocketException {
  /// One of the `TCP_ERR_` codes, negative; 0 for a [LibraryNotFoundException].
  final int code;

  /// What was being done: 'open' for the session with the daemon, 'connect', 'listen', 'accept', 'read', 'write',
  /// 'flush', 'closeWrite', 'setOption', or the name of a getter such as 'localPort'.
  final String operation;

  @override
  final String message;

  /// What the daemon's system said, if it was the system that refused.
  @override
  final OSError? osError;

  /// The other end of the connection, or the address of the listener. The own end, if a connection cannot be made because
  /// that cannot be had.
  @override
  final InternetAddress? address;

  /// The port that belongs to [address].
  @override
  final int? port;

  final bool _isOfDartIo;
  final bool _saysWhere;

  OcheException._(_Facts facts)
      : code = facts.code,
        _isOfDartIo = facts.isOfDartIo,
        _saysWhere = facts.saysWhere,
        operation = facts.operation,
        message = facts.message,
        osError = facts.osError,
        address = facts.address,
        port = facts.port;

  /// The exception for a code that a function or a completion returned, with errno if there is one. [host] is what was to
  /// be connected to, if that was not [address].
  factory OcheException.of(
    int code,
    String operation, {
    int errno = 0,
    InternetAddress? address,
    int? port,
    String? host,
    String? message,
  }) {
    final where = 'host: ${host ?? address?.host}, port: $port';
    final ended = switch ((operation, code)) {
      ('connect', TCP_ERR_TIMED_OUT) => 'Connection timed out, $where',
      ('connect', TCP_ERR_CLOSED) => 'Connection attempt cancelled, $where',
      _ => null,
    };
    final osError = errno == 0 || ended != null ? null : OSError(systemErrorText(errno), errno);
    final refused = osError == null ? null : _refusal(code, operation, osError);
    final text = message ?? ended ?? refused ?? dartString(oche_error_text(code).cast());
    final make = switch (code) {
      TCP_ERR_INVALID_HANDLE => InvalidHandleException._,
      TCP_ERR_INVALID_ADDRESS => InvalidAddressException._,
      TCP_ERR_CONNECT_FAILED => ConnectFailedException._,
      TCP_ERR_BIND_FAILED => BindFailedException._,
      TCP_ERR_LISTEN_FAILED => ListenFailedException._,
      TCP_ERR_ACCEPT_FAILED => AcceptFailedException._,
      TCP_ERR_READ_FAILED => ReadFailedException._,
      TCP_ERR_WRITE_FAILED => WriteFailedException._,
      TCP_ERR_CLOSED => ClosedException._,
      TCP_ERR_SOCKET_OPTION => SocketOptionException._,
      TCP_ERR_NOT_INITIALIZED => NotInitializedException._,
      TCP_ERR_OUT_OF_MEMORY => OutOfMemoryException._,
      TCP_ERR_INVALID_ARGUMENT => InvalidArgumentException._,
      TCP_ERR_DAEMON_LOST => DaemonLostException._,
      TCP_ERR_DAEMON_UNAVAILABLE => DaemonUnavailableException._,
      TCP_ERR_TIMED_OUT => TimedOutException._,
      TCP_ERR_QUOTA => QuotaException._,
      TCP_ERR_PROTOCOL => ProtocolException._,
      TCP_ERR_TLS_FAILED => TlsFailedException._,
      _ => UnknownErrorException._,
    };
    return make((
      code: code,
      operation: operation,
      message: text,
      osError: osError,
      address: address,
      port: port,
      isOfDartIo: osError != null || ended != null,
      saysWhere: ended != null,
    ));
  }

  /// The words of dart:io for what the system has refused.
  static String _refusal(int code, String operation, OSError osError) => switch (code) {
        TCP_ERR_BIND_FAILED when operation == 'connect' => 'Bind failed',
        TCP_ERR_BIND_FAILED || TCP_ERR_LISTEN_FAILED => 'Failed to create server socket',
        TCP_ERR_ACCEPT_FAILED => 'Accept failed',
        TCP_ERR_READ_FAILED => 'Read failed',
        TCP_ERR_WRITE_FAILED => 'Write failed',
        _ => osError.message,
      };

  @override
  String toString() {
    final text = StringBuffer(_isOfDartIo ? 'SocketException: $message' : '$runtimeType: $operation: $message');
    if (osError case final osError?) text.write(' ($osError)');
    if (_saysWhere) return text.toString();
    if (address case final address?) text.write(', address = ${address.host}');
    if (port case final port?) text.write(', port = $port');
    return text.toString();
  }
}

/// The socket is not open any more.
final class InvalidHandleException extends OcheException {
  InvalidHandleException._(super.facts) : super._();
}

/// The address is neither IPv4 nor IPv6, or the source is of another family than the destination.
final class InvalidAddressException extends OcheException {
  InvalidAddressException._(super.facts) : super._();
}

/// The connection was refused, the peer cannot be reached, or no descriptor is left in the daemon.
final class ConnectFailedException extends OcheException {
  ConnectFailedException._(super.facts) : super._();
}

/// The local address or port cannot be used: see [osError].
final class BindFailedException extends OcheException {
  BindFailedException._(super.facts) : super._();
}

/// The system does not let the socket listen: see [osError].
final class ListenFailedException extends OcheException {
  ListenFailedException._(super.facts) : super._();
}

/// A connection could not be accepted: see [osError].
final class AcceptFailedException extends OcheException {
  AcceptFailedException._(super.facts) : super._();
}

/// The connection broke, for example by a reset: what came before may be incomplete.
final class ReadFailedException extends OcheException {
  ReadFailedException._(super.facts) : super._();
}

/// The connection broke, or its sending side was closed before.
final class WriteFailedException extends OcheException {
  WriteFailedException._(super.facts) : super._();
}

/// This side closed the socket, or gave up the connect, before the operation was done.
final class ClosedException extends OcheException {
  ClosedException._(super.facts) : super._();
}

/// The system does not take the option, or the daemon does not let it through: see [osError].
///
/// An [OSError] as well, which is what dart:io throws.
final class SocketOptionException extends OcheException implements OSError {
  SocketOptionException._(super.facts) : super._();

  @override
  int get errorCode => osError?.errorCode ?? OSError.noErrorCode;
}

/// The isolate has no session with the daemon.
final class NotInitializedException extends OcheException {
  NotInitializedException._(super.facts) : super._();
}

/// No memory is left, in this process or in the daemon.
final class OutOfMemoryException extends OcheException {
  OutOfMemoryException._(super.facts) : super._();
}

/// A value is out of range, or the operation does not fit the state of the socket.
final class InvalidArgumentException extends OcheException {
  InvalidArgumentException._(super.facts) : super._();
}

/// The daemon went away, and all sockets with it. The next connect or listen starts a new one.
final class DaemonLostException extends OcheException {
  DaemonLostException._(super.facts) : super._();
}

/// No daemon answers, and none could be started: the message says what was tried.
final class DaemonUnavailableException extends OcheException {
  DaemonUnavailableException._(super.facts) : super._();
}

/// The time limit passed.
final class TimedOutException extends OcheException {
  TimedOutException._(super.facts) : super._();
}

/// A limit of the daemon, on sessions or on sockets of this one, is reached.
final class QuotaException extends OcheException {
  QuotaException._(super.facts) : super._();
}

/// The library and the daemon have no protocol version in common.
final class ProtocolException extends OcheException {
  ProtocolException._(super.facts) : super._();
}

/// TLS could not be agreed upon with the other side: [message] says why, in OpenSSL's words.
///
/// A [HandshakeException] as well, which is what dart:io throws.
final class TlsFailedException extends OcheException implements HandshakeException {
  TlsFailedException._(super.facts) : super._();

  @override
  String get type => 'HandshakeException';
}

/// A code that this version of the package does not know.
final class UnknownErrorException extends OcheException {
  UnknownErrorException._(super.facts) : super._();
}

/// liboche is not to be found.
final class LibraryNotFoundException extends OcheException {
  /// One line for each place where it was looked for.
  final List<String> tried;

  /// Made with what was [tried].
  LibraryNotFoundException(this.tried)
      : super._((
          code: 0,
          operation: 'open',
          message: [
            'liboche cannot be loaded. Set OCHE_LIBRARY to the path of liboche.so, or call useOcheLibrary(). Tried:',
            ...tried,
          ].join('\n  '),
          osError: null,
          address: null,
          port: null,
          isOfDartIo: false,
          saysWhere: false,
        ));
}
