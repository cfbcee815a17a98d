/// How code that knows only dart:io gets sockets of the daemon.
library;

import 'dart:io';

import 'server_socket.dart';
import 'socket.dart';

/// Runs [body] with [OcheOverrides]: `Socket.connect`, `Socket.startConnect` and `ServerSocket.bind` make sockets of the
/// daemon there, and in everything that is called from there, such as [HttpServer] and [HttpClient].
///
/// Unix-domain addresses, raw and secure sockets, and datagrams stay with dart:io.
R runWithOche<R>(R Function() body) => IOOverrides.runWithIOOverrides(body, OcheOverrides());

/// Overrides that make TCP sockets of the daemon; for `IOOverrides.global`, or to be extended by others.
base class OcheOverrides extends IOOverrides {
  static bool _isTcp(Object? host) => host is! InternetAddress || host.type != InternetAddressType.unix;

  @override
  Future<Socket> socketConnect(
    dynamic host,
    int port, {
    dynamic sourceAddress,
    int sourcePort = 0,
    Duration? timeout,
  }) =>
      _isTcp(host)
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
      _isTcp(host)
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
