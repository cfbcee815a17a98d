/// How code that knows only dart:io gets sockets of the daemon.
library;

import 'dart:io';

import 'destination.dart';
import 'http_client.dart';
import 'server_socket.dart';
import 'socket.dart';

/// Runs [body] with [OcheOverrides]: `Socket.connect`, `Socket.startConnect` and `ServerSocket.bind` make sockets of the
/// daemon there, and in everything that is called from there, such as [HttpServer] and [HttpClient].
///
/// Unix-domain addresses, raw and secure sockets, and datagrams stay with dart:io; and so do the destinations for which
/// [staysWithDartIo] says so, see [OcheOverrides.new]. [HttpOverrides] that are in force already stay in force.
///
/// All this is an isolate's: `OcheIsolate` starts isolates that have it as well.
R runWithOche<R>(R Function() body, {bool Function(Object? host, int port)? staysWithDartIo}) =>
    IOOverrides.runWithIOOverrides(
      () => HttpOverrides.runWithHttpOverrides(body, OcheHttpOverrides(HttpOverrides.current)),
      OcheOverrides(staysWithDartIo: staysWithDartIo),
    );

/// Overrides that make TCP sockets of the daemon; for `IOOverrides.global`, or to be extended by others.
///
/// [HttpClient] needs [OcheHttpOverrides] beside them, for https through a proxy.
base class OcheOverrides extends IOOverrides implements Destinations {
  /// Asks [staysWithDartIo] for each destination that something connects to: where it returns true, the socket is one of
  /// dart:io. It gets the host as it was given to [Socket.connect], a [String] or an [InternetAddress].
  ///
  /// This is for code that upgrades a connection by [SecureSocket.secure], which insists on dart:io's own sockets, as
  /// many clients of databases and of mail do:
  ///
  /// ```dart
  /// runWithOche(main, staysWithDartIo: (host, port) => port == 5432);
  /// ```
  ///
  /// [ServerSocket.bind] has no destination, and does not ask.
  OcheOverrides({bool Function(Object? host, int port)? staysWithDartIo}) : _staysWithDartIo = staysWithDartIo;

  final bool Function(Object? host, int port)? _staysWithDartIo;

  static bool _isTcp(Object? host) => host is! InternetAddress || host.type != InternetAddressType.unix;

  @override
  bool isServedByDaemon(Object? host, int port) => _isTcp(host) && !(_staysWithDartIo?.call(host, port) ?? false);

  bool _isOurs(Object? host, int port) => !isUpgradeExpected() && isServedByDaemon(host, port);

  @override
  Future<Socket> socketConnect(
    dynamic host,
    int port, {
    dynamic sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) =>
      _isOurs(host, port)
          ? OcheSocket.connect(
              host,
              port,
              sourceAddress: sourceAddress,
              sourcePort: sourcePort,
              timeout: timeout,
            )
          : super.socketConnect(
              host,
              port,
              sourceAddress: sourceAddress,
              sourcePort: sourcePort,
              timeout: timeout,
            );

  @override
  Future<ConnectionTask<Socket>> socketStartConnect(
    dynamic host,
    int port, {
    dynamic sourceAddress,
    int sourcePort = 0,
  }) =>
      _isOurs(host, port)
          ? OcheSocket.startConnect(host, port, sourceAddress: sourceAddress, sourcePort: sourcePort)
          : super.socketStartConnect(
              host,
              port,
              sourceAddress: sourceAddress,
              sourcePort: sourcePort,
            );

  @override
  Future<ServerSocket> serverSocketBind(
    dynamic address,
    int port, {
    int backlog = 0,
    bool v6Only = false,
    bool shared = false,
  }) =>
      _isTcp(address)
          ? OcheServerSocket.bind(address, port, backlog: backlog, v6Only: v6Only, shared: shared)
          : super.serverSocketBind(
              address,
              port,
              backlog: backlog,
              v6Only: v6Only,
              shared: shared,
            );
}
