/// dart:io's [ServerSocket] on top of a listener.
library;

import 'dart:async';
import 'dart:io';

import '../listener.dart';
import 'resolve.dart';
import 'socket.dart';

/// A [ServerSocket] that the daemon has. If the daemon is lost, it goes on at another one.
final class OcheServerSocket extends Stream<Socket> implements ServerSocket {
  OcheServerSocket._(this._listener);

  final Listener _listener;
  late final Stream<Socket> _sockets = _listener.stream.map(OcheSocket.new);

  /// As [ServerSocket.bind], in the daemon.
  static Future<ServerSocket> bind(
    Object? address,
    int port, {
    int backlog = 0,
    bool v6Only = false,
    bool shared = false,
  }) {
    checkPort(port);
    if (backlog < 0) throw ArgumentError.value(backlog, 'backlog', 'must not be negative');
    return resolve(address)
        .then(
          (addresses) => Listener.bind(
            addresses.first,
            port,
            backlog: backlog,
            v6Only: v6Only,
            shared: shared,
            durable: true,
          ),
        )
        .then(OcheServerSocket._);
  }

  @override
  InternetAddress get address => _listener.address;

  @override
  int get port => _listener.port;

  @override
  StreamSubscription<Socket> listen(
    void Function(Socket socket)? onData, {
    Function? onError,
    void Function()? onDone,
    bool? cancelOnError,
  }) =>
      _sockets.listen(onData, onError: onError, onDone: onDone, cancelOnError: cancelOnError);

  @override
  Future<ServerSocket> close() async {
    await _listener.close();
    return this;
  }
}
