/// Connections and listeners that the program has forgotten.
library;

import 'dart:async';
import 'dart:io';

import 'package:oche/oche.dart';

import 'support/garbage.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  connections();
  listeners();
  return runTests(arguments);
}

/// Whether the last connection that was forgotten has been collected.
bool collected = false;
final _witness = Finalizer<Peer>((peer) => collected = peer == _lastPeer);
Peer? _lastPeer;

/// Connects, and forgets the connection. Returns the other end.
@pragma('vm:never-inline')
Future<Peer> forget([void Function(Connection)? last]) async {
  final mixed = await Mixed.open();
  last?.call(mixed.connection);
  collected = false;
  _witness.attach(mixed.connection, _lastPeer = mixed.peer);
  return mixed.peer;
}

/// Makes garbage several times, with time for finalizers.
Future<void> collect() async {
  for (var i = 0; i < 5; i++) {
    makeGarbage();
    await letOthersGoOn();
  }
}

Future<void> expectCollected(Peer peer) async {
  final ended = peer.ended;
  await whenCollected(() => peer.hasEnded, 'the peer sees the end');
  await ended;
  await peer.close();
}

void connections() {
  test('a connection that is forgotten is closed', () async {
    await expectCollected(await forget());
  });

  test('a connection that has been used is closed when it is forgotten', () async {
    await expectCollected(await forget((connection) {
      connection.write([1]).ignore();
      connection.setNoDelay(true).ignore();
      connection.flush().ignore();
    }));
  });

  test('a connection whose stream has ended is closed when it is forgotten', () async {
    final done = Completer<void>();
    final peer = await forget((connection) => connection.stream.listen(null, onDone: done.complete));
    peer.shutdown();
    await done.future;
    await expectCollected(peer);
  });

  test('a connection that is forgotten sends what was written', () async {
    final peer = await forget((connection) => connection.write(pattern(16 << 20)).ignore());
    await whenCollected(() => collected, 'it is collected');
    await letOthersGoOn();
    await peer.receive(16 << 20);
    expect(peer.sum, checksum(pattern(16 << 20)), 'the checksum');
    await expectCollected(peer);
  });

  test('a connection that is read is not forgotten', () async {
    final data = Completer<Object?>();
    final peer = await forget((connection) => connection.read().then(data.complete));
    await collect();
    peer.write([180]);
    expect(await data.future, [180]);
    await expectCollected(peer);
  });

  test('a connection whose stream is listened to is not forgotten', () async {
    final events = <Object>[];
    final done = Completer<void>();
    final peer = await forget((connection) => connection.stream.listen(events.addAll, onDone: done.complete));
    for (var i = 0; i < 3; i++) {
      await collect();
      peer.write([i]);
      await eventually(() => events.length == i + 1, 'the byte $i comes');
    }
    peer.shutdown();
    await done.future;
    expect(events, [0, 1, 2], 'what came');
    await expectCollected(peer);
  });

  test('a connection whose stream is paused is not forgotten', () async {
    late StreamSubscription<Object> subscription;
    final data = Completer<Object>();
    final peer = await forget((connection) => subscription = connection.stream.listen(data.complete)..pause());
    await collect();
    peer.write([180]);
    subscription.resume();
    expect(await data.future, [180]);
    await subscription.cancel();
    await peer.close();
  });

  test('connections that are forgotten do not close others', () async {
    final pairs = <Pair>[], peers = <Peer>[];
    for (var i = 0; i < 20; i++) {
      peers.add(await forget());
      pairs.add(await Pair.open());
      await (await Pair.open()).close(); // leaves places for others
      if (i % 5 == 0) makeGarbage();
    }
    for (final peer in peers) {
      await expectCollected(peer);
    }
    for (final (i, pair) in pairs.indexed) {
      await expectEcho(pair.connected, pair.accepted, i);
      await pair.close();
    }
  });

  test('connections that were closed are not closed again when they are forgotten', () async {
    final pairs = <Pair>[];
    for (var i = 0; i < 40; i++) {
      final peer = await forget((connection) => i.isOdd ? connection.destroy() : connection.close().ignore());
      await peer.ended;
      await peer.close();
      pairs.add(await Pair.open()); // takes the place of the one that was closed
    }
    await collect();
    for (final (i, pair) in pairs.indexed) {
      await expectEcho(pair.connected, pair.accepted, i);
      await pair.close();
    }
  });

  test('an accepted connection that is forgotten is closed', () async {
    final listener = await Listener.bind(loopback, 0);
    final accepted = listener.accept().then((connection) => connection.localPort);
    final socket = await RawSocket.connect(loopback, listener.port);
    expect(await accepted, listener.port, 'the port');
    await expectCollected(Peer(socket));
    await listener.close();
  });
}

@pragma('vm:never-inline')
Future<int> forgetListener([void Function(Listener)? last]) async {
  final listener = await Listener.bind(loopback, 0);
  last?.call(listener);
  return listener.port;
}

Future<bool> isListening(int port) async {
  try {
    (await Connection.connect(loopback, port)).destroy();
    return true;
  } on ConnectFailedException {
    return false;
  }
}

void listeners() {
  test('a listener that is forgotten is closed', () async {
    final port = await forgetListener();
    expect(await isListening(port), true, 'whether it listens at first');
    await eventually(() async {
      makeGarbage();
      return !await isListening(port);
    }, 'nobody listens');
  });

  test('a listener that is forgotten leaves its connections alone', () async {
    late final Future<Connection> accept;
    final port = await forgetListener((listener) => accept = listener.accept());
    final connected = await Connection.connect(loopback, port);
    final accepted = await accept;
    await eventually(() async {
      makeGarbage();
      return !await isListening(port);
    }, 'nobody listens');
    await expectEcho(connected, accepted);
    await connected.close();
    await accepted.close();
  });

  test('a listener that accepts is not forgotten', () async {
    late final Future<Connection> accept;
    final port = await forgetListener((listener) => accept = listener.accept());
    await collect();
    final connected = await Connection.connect(loopback, port);
    await expectEcho(connected, await accept);
    await connected.close();
    await (await accept).close();
  });

  test('a listener whose stream is listened to is not forgotten', () async {
    final ports = <int>[];
    late final StreamSubscription<Connection> subscription;
    final port = await forgetListener((listener) {
      subscription = listener.stream.listen((connection) {
        ports.add(connection.remotePort);
        connection.destroy();
      });
    });
    for (var i = 0; i < 3; i++) {
      await collect();
      final connected = await Connection.connect(loopback, port);
      expect(await connected.read(), null);
      expect(ports.last, connected.localPort, 'the port of the other end');
      await connected.close();
    }
    await subscription.cancel();
  });
}
