/// Listeners that outlive their daemon. This kills the daemon that serves $OCHE_SOCKET.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';
import 'package:oche/secure.dart' show OcheSecureServerSocket, OcheSecureSocket, TlsContext;

import 'support/certificate.dart';
import 'support/daemon.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

/// Kills the daemon and comes back when it is gone.
Future<void> _endDaemon() async {
  final pid = killDaemon();
  await eventually(() => !File('/proc/$pid/stat').existsSync() || _isOver(pid), 'process $pid has ended');
}

bool _isOver(int pid) {
  try {
    final state = File('/proc/$pid/stat').readAsStringSync();
    return state[state.lastIndexOf(')') + 2] == 'Z';
  } on FileSystemException {
    return true;
  }
}

/// A connection of dart:io's own, as soon as somebody listens.
Future<Socket> _reach(int port) async {
  while (true) {
    try {
      return await Socket.connect(loopback, port);
    } on SocketException {
      await turns(1);
    }
  }
}

/// The connection gets what is sent, and its peer what comes back.
Future<void> _expectExchange(Socket socket, Connection connection) async {
  socket.add([180]);
  expect(await connection.read(), [180], 'what came');
  await connection.write([26]);
  expect(await socket.first, [26], 'what came back');
  socket.destroy();
  await connection.close();
}

Future<void> main(List<String> arguments) {
  test('a server with TLS goes on at the next daemon, at the same port', () async {
    final context = TlsContext()
      ..useCertificateChainBytes(utf8.encode(certificate))
      ..usePrivateKeyBytes(utf8.encode(certificateKey));
    final trusting = TlsContext()..setTrustedCertificatesBytes(utf8.encode(certificate));
    final server = await OcheSecureServerSocket.bind(loopback, 0, context);
    final port = server.port;
    server.listen((socket) => socket.listen(socket.add, onError: (Object _) {}));
    for (var round = 0; round < 2; round++) {
      await _endDaemon();
      (await _reach(port)).destroy();
      final socket = await OcheSecureSocket.connect('localhost', port, context: trusting);
      socket.add([180]);
      expect(await socket.first, [180], 'what came back');
      expect(server.port, port, 'the port');
      socket.destroy();
    }
    await server.close();
  });

  test('accepts of a durable listener are still pending at the next daemon', () async {
    final listener = await Listener.bind(loopback, 0, durable: true);
    final port = listener.port;
    for (var round = 0; round < 3; round++) {
      final accept = listener.accept();
      await _endDaemon();
      await _expectExchange(await _reach(port), await accept);
      expect(listener.port, port, 'the port');
    }
    await listener.close();
  });

  test('a durable listener is there again though nobody accepts', () async {
    final listener = await Listener.bind(loopback, 0, durable: true);
    await _endDaemon();
    final socket = await _reach(listener.port);
    await _expectExchange(socket, await listener.accept());
    await listener.close();
  });

  test('a stream of a durable listener goes on without an error', () async {
    final listener = await Listener.bind(loopback, 0, durable: true);
    final connections = StreamIterator(listener.stream);
    for (var round = 0; round < 3; round++) {
      final next = connections.moveNext();
      await _endDaemon();
      final socket = await _reach(listener.port);
      expectTrue(await next, 'there is one');
      await _expectExchange(socket, connections.current);
    }
    await connections.cancel();
  });

  test('a durable listener that is closed while there is no daemon stays closed', () async {
    final listener = await Listener.bind(loopback, 0, durable: true),
        other = await Listener.bind(loopback, 0, durable: true);
    final accept = expectFails<OcheException>(listener.accept());
    final events = <Object>[];
    final ended = Completer<void>();
    listener.stream.listen(events.add, onError: events.add, onDone: ended.complete);
    killDaemon();
    await listener.close();
    await accept;
    await ended.future;
    expect(events, <Object>[], 'what the stream brought');
    await _expectExchange(await _reach(other.port), await other.accept());
    await other.close();
    await expectFails<SocketException>(Socket.connect(loopback, listener.port));
  });

  test(
      'a ServerSocket whose port is taken meanwhile has an error, and ends',
      () => runWithOche(() async {
            final server = await ServerSocket.bind(loopback, 0);
            final errors = <Object>[];
            final ended = Completer<void>();
            server.listen(null, onError: errors.add, onDone: ended.complete);
            final (address, port) = (server.address, server.port);
            final thief = await withoutDaemon(() async {
              await _endDaemon();
              return RawServerSocket.bind(address, port);
            });
            await ended.future;
            expect(errors.length, 1, 'the number of errors');
            final error = errors.single;
            expectTrue(error is BindFailedException && error is SocketException, 'it is right: $error');
            expect((error as SocketException).osError?.errorCode, eaddrinuse, 'errno');
            await server.close();
            await thief.close();
          }));

  test('a durable listener keeps its isolate alive while it comes back', () async {
    final messages = ReceivePort(), exit = ReceivePort();
    await Isolate.spawn(_serveTwo, messages.sendPort, onExit: exit.sendPort);
    final port = await messages.first as int;
    for (var round = 0; round < 2; round++) {
      await _endDaemon();
      final socket = await _reach(port);
      expect(await socket.first, [round], 'who serves');
      socket.destroy();
    }
    await exit.first; // it has nothing more to do
  });

  test('connections that were accepted are lost, and know their ends', () async {
    final listener = await Listener.bind(loopback, 0, durable: true);
    final accept = listener.accept();
    final socket = await _reach(listener.port);
    final accepted = await accept;
    final read = expectFails<DaemonLostException>(accepted.read());
    await _endDaemon();
    await read;
    expect(accepted.localAddress, loopback, 'the local address');
    expect(accepted.localPort, listener.port, 'the local port');
    expect(accepted.remoteAddress, loopback, 'the remote address');
    expect(accepted.remotePort, socket.port, 'the remote port');
    expectTrue(!accepted.noDelay && !accepted.keepAlive, 'the options are as they were');
    await expectFails<DaemonLostException>(accepted.write([1]));
    socket.destroy();
    await listener.close();
  });

  test(
      'sockets of dart:io that nobody has closed know their ends when they are lost',
      () => runWithOche(() async {
            final server = await ServerSocket.bind(loopback, 0);
            final accept = server.first;
            final client = await Socket.connect(loopback, server.port);
            final accepted = await accept;
            final ended = [
              for (final socket in [accepted, client]) socket.handleError((Object _) {}).drain<void>(),
            ];
            killDaemon();
            await Future.wait(ended);
            expect(client.remotePort, accepted.port, 'the port of the server');
            expect(accepted.remotePort, client.port, 'the port of the client');
            expect(client.remoteAddress, loopback, 'the remote address');
            expect(accepted.address, loopback, 'the address');
            accepted.destroy();
            client.destroy();
            await expectFails<SocketException>(Future(() => client.remotePort));
          }));
  return runTests(arguments);
}

/// Serves two visitors with an accept each, and that is all.
Future<void> _serveTwo(SendPort port) async {
  final listener = await Listener.bind(loopback, 0, durable: true);
  port.send(listener.port);
  for (var i = 0; i < 2; i++) {
    final connection = await listener.accept();
    await connection.write([i]);
    await connection.close();
  }
}
