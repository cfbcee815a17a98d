/// TLS by dart:io on connections of the daemon: OcheRawSocket.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';

import 'support/certificate.dart';
import 'support/pairs.dart';
import 'support/raw_peer.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  test('a client that secures an OcheRawSocket exchanges a megabyte with a server of dart:io', () async {
    final server = await SecureServerSocket.bind(loopback, 0, servingContext());
    server.listen((socket) => socket.listen(socket.add, onDone: socket.close, onError: (Object _) {}));
    final socket = await RawSecureSocket.secure(
      await OcheRawSocket.connect('127.0.0.1', server.port),
      host: 'localhost',
      context: trustingContext(),
    );
    expect(socket.peerCertificate?.subject, '/CN=localhost', 'the certificate');
    final bytes = pattern(1 << 20);
    expect(checksum(await exchange(socket, bytes)), checksum(bytes), 'what came back');
    await socket.close();
    await server.close();
  });

  test('a server that secures what a Listener has accepted serves a client of dart:io', () async {
    final listener = await Listener.bind(loopback, 0);
    final client = SecureSocket.connect('localhost', listener.port, context: trustingContext());
    final served = await RawSecureSocket.secureServer(OcheRawSocket(await listener.accept()), servingContext());
    final socket = await client;
    final echo = socket.listen(socket.add, onError: (Object _) {});
    final bytes = pattern(300000);
    expect(checksum(await exchange(served, bytes)), checksum(bytes), 'what came back');
    await served.close();
    await echo.cancel();
    socket.destroy();
    await listener.close();
  });

  test('a connection that begins without TLS goes on with it', () async {
    final server = await ServerSocket.bind(loopback, 0);
    final serving = server.first.then((socket) async {
      final begin = Completer<void>();
      final subscription = socket.listen((data) => begin.complete());
      await begin.future;
      subscription.pause();
      socket.add(utf8.encode('S'));
      final secure = await SecureSocket.secureServer(socket, servingContext());
      await secure.addStream(secure.take(1));
      await secure.close();
    });
    final connection = await Connection.connect(loopback, server.port);
    await connection.write(utf8.encode('TLS?'));
    expect(await readExactly(connection, 1), utf8.encode('S'), 'the answer');
    final socket = await RawSecureSocket.secure(
      OcheRawSocket(connection),
      host: 'localhost',
      context: trustingContext(),
    );
    expect(await exchange(socket, utf8.encode('hello')), utf8.encode('hello'), 'what came back');
    await socket.close();
    await serving;
  });

  test('a certificate that nobody trusts ends the handshake, and the connection', () async {
    final server = await SecureServerSocket.bind(loopback, 0, servingContext());
    final refused = Completer<void>();
    server.listen((_) => throw Failure('a connection was secured'), onError: (Object _) => refused.complete());
    await failureOf<HandshakeException>(
      () async => RawSecureSocket.secure(await OcheRawSocket.connect('127.0.0.1', server.port), host: 'localhost'),
    );
    await refused.future;
    await server.close();
  });

  test('an OcheRawSocket has the events of one of dart:io', () async {
    for (final scenario in [_endOfPeer, _inPieces, _disabled, _ownEnd]) {
      final original = await _events(RawSocket.connect, scenario);
      final ours = await _events(OcheRawSocket.connect, scenario);
      expect(ours.toString(), original.toString(), 'what happens');
    }
  });

  test('a write that finds no room takes nothing, and an event tells when there is room again', () async {
    final server = await RawServerSocket.bind(loopback, 0);
    final accepted = server.first;
    final socket = await OcheRawSocket.connect(loopback, server.port);
    final peer = Peer(await accepted);
    var written = 0;
    final full = Completer<void>(), roomy = Completer<void>();
    socket.listen((event) {
      if (event != RawSocketEvent.write || roomy.isCompleted) return;
      if (full.isCompleted) return roomy.complete();
      for (var taken = -1; taken != 0; written += taken) {
        taken = socket.write(pattern(60000));
      }
      full.complete();
      socket.writeEventsEnabled = true;
    });
    await full.future;
    await peer.receive(written);
    await roomy.future;
    await socket.close();
    await peer.close();
  });

  test('a reset is an error of an OcheRawSocket, and its end', () async {
    final server = await RawServerSocket.bind(loopback, 0);
    final accepted = server.first;
    final socket = await OcheRawSocket.connect(loopback, server.port);
    final peer = Peer(await accepted);
    final seen = <Object>[];
    final ended = Completer<void>();
    socket.writeEventsEnabled = false;
    socket.listen(seen.add, onError: seen.add, onDone: ended.complete);
    await peer.reset();
    await ended.future;
    expect(seen.first is ReadFailedException, true, 'whether there is an error: $seen');
    expect(seen.last, RawSocketEvent.closed);
  });

  return runTests(arguments);
}

/// Sends all, and receives as much.
Future<Uint8List> exchange(RawSocket socket, List<int> bytes) {
  final received = BytesBuilder(copy: false);
  final completer = Completer<Uint8List>();
  var written = 0;
  late final StreamSubscription<RawSocketEvent> subscription;
  subscription = socket.listen((event) {
    if (event == RawSocketEvent.write) {
      written += socket.write(bytes, written);
      if (written < bytes.length) socket.writeEventsEnabled = true;
    } else if (event == RawSocketEvent.read) {
      if (socket.read() case final data?) received.add(data);
      if (received.length < bytes.length || completer.isCompleted) return;
      completer.complete(received.takeBytes());
      subscription.pause();
    } else if (!completer.isCompleted) {
      completer.completeError(Failure('$event after ${received.length} bytes'));
    }
  }, onError: (Object error) => completer.completeError(error));
  return completer.future;
}

typedef _Connect = Future<RawSocket> Function(InternetAddress host, int port);

/// What is seen of a socket that `connect` makes; the scenario plays its peer.
Future<List<Object>> _events(
  _Connect connect,
  Future<void> Function(RawSocket socket, Socket peer, List<Object> seen) scenario,
) async {
  final server = await ServerSocket.bind(loopback, 0);
  final accepted = server.first;
  final socket = await connect(loopback, server.port);
  final seen = <Object>[];
  await scenario(socket, await accepted, seen);
  return seen;
}

Future<void> _endOfPeer(RawSocket socket, Socket peer, List<Object> seen) async {
  final ended = Completer<void>();
  peer.write('hello');
  await peer.flush();
  socket.listen((event) {
    seen.add(event);
    if (event == RawSocketEvent.read) {
      seen.add('${socket.available()} ${utf8.decode(socket.read()!)} ${socket.available()}');
      peer.close().ignore();
    }
    if (event == RawSocketEvent.readClosed) socket.shutdown(SocketDirection.send);
  }, onDone: ended.complete);
  await peer.drain<void>();
  await socket.close();
  await ended.future;
}

Future<void> _inPieces(RawSocket socket, Socket peer, List<Object> seen) async {
  final all = Completer<void>();
  socket.writeEventsEnabled = false;
  peer.write('a dozen bytes');
  await peer.flush();
  socket.listen((event) {
    seen.add(event);
    if (event != RawSocketEvent.read) return;
    seen.add(utf8.decode(socket.read(5)!));
    if (socket.available() == 0) all.complete();
  });
  await all.future;
  await socket.close();
  peer.destroy();
}

Future<void> _disabled(RawSocket socket, Socket peer, List<Object> seen) async {
  final read = Completer<void>(), written = Completer<void>();
  socket.readEventsEnabled = socket.writeEventsEnabled = false;
  socket.listen((event) {
    seen.add('$event ${socket.readEventsEnabled} ${socket.writeEventsEnabled}');
    if (event == RawSocketEvent.write) written.complete();
    if (event == RawSocketEvent.read) {
      seen.add(utf8.decode(socket.read()!));
      read.complete();
    }
  });
  peer.write('hello');
  await peer.flush();
  await letOthersGoOn();
  seen.add('enabled');
  socket.writeEventsEnabled = true;
  await written.future;
  socket.readEventsEnabled = true;
  await read.future;
  await socket.close();
  peer.destroy();
}

Future<void> _ownEnd(RawSocket socket, Socket peer, List<Object> seen) async {
  final ended = Completer<void>();
  socket.listen((event) {
    seen.add(event);
    if (event != RawSocketEvent.write) return;
    seen.add(socket.write(utf8.encode('hello'), 1, 3));
    socket.close().ignore();
  }, onDone: ended.complete);
  seen.add(await utf8.decodeStream(peer));
  await ended.future;
  peer.destroy();
}
