/// Listening: where, for whom, and what comes of it.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/oche.dart';

import 'support/daemon.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

final observer = Observer();

Future<void> main(List<String> arguments) {
  binding();
  accepting();
  streaming();
  closing();
  return runTests(arguments);
}

void binding() {
  test('port 0 lets the system choose, and each time another one', () async {
    final listeners = [for (var i = 0; i < 5; i++) await Listener.bind(loopback, 0)];
    final ports = {for (final listener in listeners) listener.port};
    expect(ports.length, 5, 'the number of ports');
    expectTrue(ports.every((port) => port > 0 && port < 65536), 'they are ports: $ports');
    for (final listener in listeners) {
      expect(listener.address, loopback, 'the address');
      await listener.close();
    }
  });

  test('a port of one\'s own choice is taken, and free after close', () async {
    final (address, port) = await deadEnd();
    for (var i = 0; i < 3; i++) {
      final listener = await Listener.bind(address, port);
      expect(listener.address, address, 'the address');
      expect(listener.port, port, 'the port');
      final connected = await Connection.connect(address, port);
      await expectEcho(connected, await listener.accept());
      await connected.close();
      await listener.close(force: true);
    }
  });

  test('an address in use fails with EADDRINUSE', () async {
    final listener = await Listener.bind(loopback, 0);
    for (final shared in [false, true]) {
      final failure = await expectFails<BindFailedException>(Listener.bind(loopback, listener.port, shared: shared));
      expect(failure.osError?.errorCode, eaddrinuse, 'errno');
    }
    await listener.close();
    final server = await ServerSocket.bind(loopback, 0);
    await expectFails<BindFailedException>(Listener.bind(loopback, server.port));
    await server.close();
  });

  test('an address that is not of this host fails with EADDRNOTAVAIL', () async {
    final elsewhere = InternetAddress('192.0.2.1'); // RFC 5737: of nobody
    final failure = await expectFails<BindFailedException>(Listener.bind(elsewhere, 0));
    expect(failure.osError?.errorCode, eaddrnotavail, 'errno');
    expect(failure.address, elsewhere, 'the address');
  });

  test('ports that are none, and paths, are refused', () async {
    for (final port in [-1, 65536]) {
      await expectFails<InvalidArgumentException>(Listener.bind(loopback, port));
    }
    for (final path in paths) {
      await expectFails<InvalidAddressException>(Listener.bind(path, 0));
    }
  });

  test('address and port are known after close', () async {
    final listener = await Listener.bind(loopback, 0);
    final port = listener.port;
    await listener.close();
    expect(listener.address, loopback, 'the address');
    expect(listener.port, port, 'the port');
  });

  test('IPv6 works like IPv4', () async {
    await needIpv6();
    final listener = await Listener.bind(InternetAddress.loopbackIPv6, 0);
    expect(listener.address, InternetAddress.loopbackIPv6, 'the address');
    final connected = await Connection.connect(listener.address, listener.port);
    final accepted = await listener.accept();
    expect(accepted.remoteAddress, InternetAddress.loopbackIPv6, 'the remote address');
    await expectEcho(connected, accepted);
    await connected.close();
    await listener.close(force: true);
  });

  test('an IPv6 listener takes IPv4 connections unless it is v6Only', () async {
    await needIpv6();
    for (final v6Only in [false, true]) {
      final listener = await Listener.bind(InternetAddress.anyIPv6, 0, v6Only: v6Only);
      final connecting = Connection.connect(loopback, listener.port);
      if (v6Only) {
        await expectFails<ConnectFailedException>(connecting);
      } else {
        final connected = await connecting, accepted = await listener.accept();
        expect(accepted.remoteAddress.address, '::ffff:127.0.0.1', 'the remote address');
        await expectEcho(connected, accepted);
        await connected.close();
      }
      await listener.close(force: true);
    }
  });

  test('shared listeners both get connections', () async {
    final first = await Listener.bind(loopback, 0, shared: true);
    final second = await Listener.bind(loopback, first.port, shared: true);
    expect(second.port, first.port, 'the port');
    final both = Future.wait([first.accept(), second.accept()]);
    var served = false;
    both.then((_) => served = true).ignore();
    final connections = <Connection>[];
    for (var i = 0; i < 200 && !served; i++) {
      connections.add(await Connection.connect(loopback, first.port));
    }
    await both;
    await first.close(force: true);
    await second.close(force: true);
    for (final connection in connections) {
      await connection.close();
    }
  });

  test('a listener is shared with other isolates', () async {
    final listener = await Listener.bind(loopback, 0, shared: true);
    await shareElsewhere(listener.port);
    await listener.close();
  });

  test('a listener that is not shared keeps shared ones out of its port', () async {
    final listener = await Listener.bind(loopback, 0, shared: true);
    await expectFails<BindFailedException>(Listener.bind(loopback, listener.port));
    await listener.close();
  });
}

/// Apart, for a closure is sent to an isolate with everything around it.
Future<void> shareElsewhere(int port) => Isolate.run(() async {
      final listener = await Listener.bind(loopback, port, shared: true);
      expect(listener.port, port, 'the port');
      await listener.close();
    });

void accepting() {
  test('accepts that wait are served in their order', () async {
    final listener = await Listener.bind(loopback, 0);
    final accepts = [for (var i = 0; i < 20; i++) listener.accept()];
    for (final accept in accepts) {
      final connected = await Connection.connect(loopback, listener.port);
      final accepted = await accept;
      expect(accepted.remotePort, connected.localPort, 'the port of the other end');
      await connected.close();
      await accepted.close();
    }
    await listener.close();
  });

  test('connections that wait are accepted in their order', () async {
    final listener = await Listener.bind(loopback, 0);
    final connected = [
      for (var i = 0; i < 20; i++) await Connection.connect(loopback, listener.port),
    ];
    for (final (i, connection) in connected.indexed) {
      final accepted = await listener.accept();
      expect(accepted.remotePort, connection.localPort, 'the port of the other end');
      await expectEcho(connection, accepted, i);
      await connection.close();
      await accepted.close();
    }
    await listener.close();
  });

  test('what was sent before the accept is there after it', () async {
    final listener = await Listener.bind(loopback, 0);
    final connected = await Connection.connect(loopback, listener.port);
    await connected.write(pattern(1000));
    await connected.close();
    expect(await readAll(await listener.accept()), pattern(1000), 'what came');
    await listener.close(force: true);
  });

  test('connections wait for an accept, and not in the daemon', () async {
    final before = await observer.accepted;
    final listener = await Listener.bind(loopback, 0, backlog: 3);
    final connecting = [
      for (var i = 0; i < 3; i++) Connection.connect(loopback, listener.port),
    ];
    final connected = await Future.wait(connecting);
    expect(await observer.accepted, before, 'how many were accepted');
    for (final connection in connected) {
      await (await listener.accept()).close();
      await connection.close();
    }
    expect(await observer.accepted, before + 3, 'how many were accepted in the end');
    await listener.close();
  });
}

Future<Connection> oneOf(Listener listener) async {
  await for (final connection in listener.stream) {
    return connection;
  }
  throw Failure('no connection');
}

void streaming() {
  test('a stream brings the connections as they come', () async {
    final listener = await Listener.bind(loopback, 0);
    expectTrue(identical(listener.stream, listener.stream), 'there is one stream');
    final accepted = StreamIterator(listener.stream);
    for (var i = 0; i < 40; i++) {
      final connected = await Connection.connect(loopback, listener.port);
      expect(await accepted.moveNext(), true, 'that there is another one');
      expect(accepted.current.remotePort, connected.localPort, 'the port of the other end');
      await expectEcho(connected, accepted.current, i);
      await connected.close();
      await accepted.current.close();
    }
    await accepted.cancel();
  });

  test('100 connections at once all come', () async {
    final listener = await Listener.bind(loopback, 0);
    final all = listener.stream.take(100).map((connection) => connection.remotePort).toSet();
    final connected = await Future.wait([for (var i = 0; i < 100; i++) Connection.connect(loopback, listener.port)]);
    final ports = await all;
    expectTrue(connected.every((one) => ports.contains(one.localPort)), 'all have come');
    for (final connection in connected) {
      await connection.close();
    }
  });

  test('a stream is for one subscriber', () async {
    final listener = await Listener.bind(loopback, 0);
    final done = listener.stream.drain<void>();
    await failureOf<StateError>(listener.stream.drain<void>);
    await listener.close();
    await done;
  });

  test('a stream that is paused accepts no more than a few, and then goes on', () async {
    final listener = await Listener.bind(loopback, 0);
    final accepted = <Connection>[];
    final subscription = listener.stream.listen(accepted.add)..pause();
    final before = await observer.accepted;
    final connected = [
      for (var i = 0; i < 60; i++) await Connection.connect(loopback, listener.port),
    ];
    await letOthersGoOn(); // which is one connection more
    final few = await observer.accepted - before - 1;
    expectTrue(few <= 16, 'few were accepted, namely $few');
    expect(accepted.length, 0, 'how many have come');
    subscription.resume();
    await eventually(() => accepted.length == 60, 'all have come');
    for (final (i, connection) in connected.indexed) {
      expect(accepted[i].remotePort, connection.localPort, 'the port of the other end');
      await connection.close();
    }
    await listener.close(force: true);
  });

  test('a subscription that is cancelled closes the listener', () async {
    final listener = await Listener.bind(loopback, 0);
    final subscription = listener.stream.listen((_) => throw Failure('nobody was invited'));
    await subscription.cancel();
    await expectFails<ConnectFailedException>(Connection.connect(loopback, listener.port));
    await (await Listener.bind(loopback, listener.port)).close();
  });

  test('a loop that is left closes the listener, and leaves its connections alone', () async {
    final listener = await Listener.bind(loopback, 0);
    final connected = await Connection.connect(loopback, listener.port);
    final accepted = await oneOf(listener);
    await expectEcho(connected, accepted);
    await expectFails<ConnectFailedException>(Connection.connect(loopback, listener.port));
    await connected.close();
    await accepted.close();
  });

  test('connections that come as the subscription is cancelled are closed', () async {
    final listener = await Listener.bind(loopback, 0);
    final connected = [
      for (var i = 0; i < 12; i++) await Connection.connect(loopback, listener.port),
    ];
    late final StreamSubscription<Connection> subscription;
    subscription = listener.stream.listen((connection) {
      unawaited(subscription.cancel());
      unawaited(connection.close());
    });
    for (final connection in connected) {
      try {
        expect(await connection.read(), null);
      } on ReadFailedException {
        // It was never accepted: the system has reset it.
      }
      await connection.close();
    }
  });

  test('a stream ends without an error when the listener is closed', () async {
    final listener = await Listener.bind(loopback, 0);
    final connections = listener.stream.toList();
    await listener.close();
    expect((await connections).length, 0, 'the connections');
  });
}

void closing() {
  test('close fails the accepts that wait, and nobody can connect any more', () async {
    final listener = await Listener.bind(loopback, 0);
    final accepts = [
      for (var i = 0; i < 3; i++) expectFails<ClosedException>(listener.accept()),
    ];
    await listener.close();
    for (final accept in accepts) {
      expect((await accept).operation, 'accept', 'the operation');
    }
    final failure = await expectFails<ConnectFailedException>(Connection.connect(loopback, listener.port));
    expect(failure.osError?.errorCode, econnrefused, 'errno');
  });

  test('close leaves the connections that were accepted alone', () async {
    final pair = await Pair.open();
    await pair.listener.close();
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
  });

  test('close with force closes the connections that were accepted, and no others', () async {
    final pair = await Pair.open(), other = await Pair.open();
    final read = pair.connected.read();
    await pair.listener.close(force: true);
    expect(await read, null);
    await expectEcho(other.connected, other.accepted);
    await pair.close();
    await other.close();
  });

  test('a connection that was closed by force says that it is closed', () async {
    final pair = await Pair.open();
    final read = expectFails<ClosedException>(pair.accepted.read());
    await pair.listener.close(force: true);
    await read;
    await expectFails<ClosedException>(pair.accepted.read());
    await expectFails<ClosedException>(pair.accepted.write([1]));
    await failureOf<ClosedException>(() => pair.accepted.noDelay);
    await pair.close();
  });

  test('close twice is close once, with force or without', () async {
    final pair = await Pair.open();
    final closed = pair.listener.close();
    await Future.wait([closed, pair.listener.close(), pair.listener.close(force: true)]);
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
  });

  test('an accept after close fails with a ClosedException', () async {
    final listener = await Listener.bind(loopback, 0);
    await listener.close();
    final failure = await expectFails<ClosedException>(listener.accept());
    expect(failure.operation, 'accept', 'the operation');
    expect(await listener.stream.isEmpty, true, 'that there are no connections');
  });
}
