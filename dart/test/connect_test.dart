/// Making connections: what comes of it, and what a connection says of its ends and options.
library;

import 'dart:async';
import 'dart:io';

import 'package:oche/oche.dart';

import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  connecting();
  givingUp();
  endsAndOptions();
  return runTests(arguments);
}

void connecting() {
  test('a connect where nobody listens fails with ECONNREFUSED', () async {
    final (address, port) = await deadEnd();
    final failure = await expectFails<ConnectFailedException>(Connection.connect(address, port));
    expect(failure.osError?.errorCode, econnrefused, 'errno');
  });

  test('source address and source port choose this end', () async {
    final (source, sourcePort) = await deadEnd();
    final listener = await Listener.bind(loopback, 0);
    final connected = await Connection.connect(loopback, listener.port, sourceAddress: source, sourcePort: sourcePort);
    final accepted = await listener.accept();
    expect(connected.localAddress, source, 'the local address');
    expect(connected.localPort, sourcePort, 'the local port');
    expect(accepted.remoteAddress, source, 'what the other end sees');
    expect(accepted.remotePort, sourcePort, 'the port that the other end sees');
    await connected.close();
    await accepted.close();
    await listener.close();
  });

  test('a source address alone leaves the port to the system', () async {
    final (source, _) = await deadEnd();
    final listener = await Listener.bind(loopback, 0);
    final connected = await Connection.connect(loopback, listener.port, sourceAddress: source);
    expect(connected.localAddress, source, 'the local address');
    expectTrue(connected.localPort > 0, 'there is a port');
    await connected.close();
    await listener.close();
  });

  test('a source that is not of this host fails to bind', () async {
    final elsewhere = InternetAddress('192.0.2.1'); // RFC 5737: of nobody
    final failure = await expectFails<BindFailedException>(Connection.connect(loopback, 9, sourceAddress: elsewhere));
    expect(failure.osError?.errorCode, eaddrnotavail, 'errno');
    expect(failure.operation, 'connect', 'the operation');
  });

  test(
      'a source of another family is no address for it',
      () => expectFails<InvalidAddressException>(
          Connection.connect(loopback, 9, sourceAddress: InternetAddress.loopbackIPv6)));

  test('a path of the Unix domain is no address', () async {
    for (final path in paths) {
      await expectFails<InvalidAddressException>(Connection.connect(path, 9));
      await expectFails<InvalidAddressException>(Connection.connect(loopback, 9, sourceAddress: path));
    }
  });

  test('ports that are none are refused', () async {
    for (final port in [0, -1, 65536, 1 << 32 | 80]) {
      await expectFails<InvalidArgumentException>(Connection.connect(loopback, port));
    }
    for (final port in [-1, 65536]) {
      await expectFails<InvalidArgumentException>(Connection.connect(loopback, 9, sourcePort: port));
    }
  });

  test('100 connections that are made at once are 100 connections', () async {
    final listener = await Listener.bind(loopback, 0);
    final accepts = [for (var i = 0; i < 100; i++) listener.accept()];
    final connected = await Future.wait([for (var i = 0; i < 100; i++) Connection.connect(loopback, listener.port)]);
    final byPort = {for (final accept in accepts) (await accept).remotePort: await accept};
    expect(byPort.length, 100, 'the number of ports');
    for (final (i, connection) in connected.indexed) {
      await expectEcho(connection, byPort[connection.localPort]!, i);
    }
    await listener.close(force: true);
    for (final connection in connected) {
      await connection.close();
    }
  });
}

/// A listener that takes no more, for nobody accepts what it has.
Future<Listener> fullListener() async {
  final listener = await Listener.bind(loopback, 0, backlog: 1);
  // The system lets a few more wait than it was told to, and then ignores whoever comes. So these have a limit, which
  // the last of them reach.
  final outcomes = await Future.wait([
    for (var i = 0; i < 8; i++)
      Connection.connect(loopback, listener.port, timeout: const Duration(milliseconds: 200))
          .then((_) => 'made', onError: (Object failure) => '${failure.runtimeType}'),
  ]);
  expect(outcomes.toSet().difference({'made', 'TimedOutException'}).length, 0, 'what else came');
  expectTrue(outcomes.contains('TimedOutException'), 'the listener is full: $outcomes');
  return listener;
}

void givingUp() {
  test('a connect that is not answered fails when its time is over', () async {
    final listener = await fullListener();
    final failure = await expectFails<TimedOutException>(
        Connection.connect(loopback, listener.port, timeout: const Duration(milliseconds: 20)));
    expect(failure.operation, 'connect', 'the operation');
    expect(failure.address, loopback, 'the address');
    expect(failure.port, listener.port, 'the port');
    expect('$failure', 'SocketException: Connection timed out, host: 127.0.0.1, port: ${listener.port}');
    await listener.close();
  });

  test('a time that is over already is one', () async {
    final listener = await fullListener();
    for (final timeout in const [Duration.zero, Duration(seconds: -1), Duration(microseconds: 1)]) {
      await expectFails<TimedOutException>(Connection.connect(loopback, listener.port, timeout: timeout));
    }
    await listener.close();
  });

  test('a time that is long enough changes nothing, however long it is', () async {
    final listener = await Listener.bind(loopback, 0);
    for (final timeout in const [Duration(seconds: 20), Duration(days: 365)]) {
      final connected = await Connection.connect(loopback, listener.port, timeout: timeout);
      await expectEcho(connected, await listener.accept());
      await connected.close();
    }
    await listener.close(force: true);
  });

  test('a connect can be given up', () async {
    final listener = await fullListener();
    final attempt = Connection.startConnect(loopback, listener.port);
    final closed = expectFails<ClosedException>(attempt.connection);
    attempt.cancel();
    final failure = await closed;
    expect(failure.operation, 'connect', 'the operation');
    expect(failure.port, listener.port, 'the port');
    expect('$failure', 'SocketException: Connection attempt cancelled, host: 127.0.0.1, port: ${listener.port}');
    attempt.cancel();
    await listener.close();
  });

  test('giving one connect up leaves the others alone', () async {
    final full = await fullListener(), open = await Listener.bind(loopback, 0);
    final attempt = Connection.startConnect(loopback, full.port);
    final closed = expectFails<ClosedException>(attempt.connection);
    final other = Connection.startConnect(loopback, open.port);
    attempt.cancel();
    await closed;
    await expectEcho(await other.connection, await open.accept());
    await (await other.connection).close();
    await open.close(force: true);
    await full.close();
  });

  test('giving up a connection that is made changes nothing', () async {
    final listener = await Listener.bind(loopback, 0);
    final attempt = Connection.startConnect(loopback, listener.port);
    final connected = await attempt.connection;
    final next = Connection.startConnect(loopback, listener.port); // may have the same request id
    attempt.cancel();
    await expectEcho(connected, await listener.accept());
    await expectEcho(await next.connection, await listener.accept());
    await connected.close();
    await (await next.connection).close();
    await listener.close(force: true);
  });

  test('a connect that is given up as it is made is one or the other', () async {
    final listener = await Listener.bind(loopback, 0);
    for (var i = 0; i < 50; i++) {
      final attempt = Connection.startConnect(loopback, listener.port);
      final outcome = attempt.connection.then((connection) async {
        await connection.write([180]);
        await connection.close();
      }, onError: (Object failure) => expectTrue(failure is ClosedException, '$failure'));
      if (i.isOdd) await Future(() {}); // until something has come, if only this
      attempt.cancel();
      await outcome;
    }
    await listener.close();
  });
}

void endsAndOptions() {
  test('addresses and ports are those of the two ends', () async {
    final pair = await Pair.open();
    expectEnds(pair, loopback);
    await pair.close();
  });

  test('IPv6 works like IPv4', () async {
    await needIpv6();
    final pair = await Pair.open(address: InternetAddress.loopbackIPv6);
    expectEnds(pair, InternetAddress.loopbackIPv6);
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
  });

  test('addresses and ports are known after close, whether somebody has asked before or not', () async {
    final pair = await Pair.open(), other = await Pair.open();
    await pair.connected.close();
    other.connected.destroy();
    for (final Pair(:connected, :accepted, :listener) in [pair, other]) {
      expect(connected.localAddress, loopback, 'the local address');
      expect(connected.localPort, accepted.remotePort, 'the local port');
      expect(connected.remoteAddress, loopback, 'the remote address');
      expect(connected.remotePort, listener.port, 'the remote port');
    }
    await pair.close();
    await other.close();
  });

  test('keepAlive and noDelay are off at first and can be changed', () async {
    final pair = await Pair.open();
    for (final (name, get, set) in [
      ('keepAlive', (Connection it) => it.keepAlive, (Connection it) => it.setKeepAlive),
      ('noDelay', (Connection it) => it.noDelay, (Connection it) => it.setNoDelay),
    ]) {
      for (final connection in [pair.connected, pair.accepted]) {
        expect(get(connection), false, '$name at first');
        await set(connection)(true);
        expect(get(connection), true, '$name after it was set');
      }
      await set(pair.connected)(false);
      expect(get(pair.connected), false, '$name after it was cleared');
      expect(get(pair.accepted), true, '$name of the other end');
      await set(pair.accepted)(false);
    }
    await pair.close();
  });

  test('options that are set without waiting are set in that order', () async {
    final pair = await Pair.open();
    await Future.wait([
      for (final enabled in [true, false, true]) pair.connected.setNoDelay(enabled),
      for (final enabled in [true, false]) pair.connected.setKeepAlive(enabled),
    ]);
    expect(pair.connected.noDelay, true, 'noDelay');
    expect(pair.connected.keepAlive, false, 'keepAlive');
    await pair.close();
  });

  test('a connection that is closed has no options', () async {
    final pair = await Pair.open();
    await pair.connected.close();
    for (final (name, call) in <(String, FutureOr<Object?> Function())>[
      ('keepAlive', () => pair.connected.keepAlive),
      ('noDelay', () => pair.connected.noDelay),
      ('setOption', () => pair.connected.setKeepAlive(true)),
      ('setOption', () => pair.connected.setNoDelay(true)),
    ]) {
      final failure = await failureOf<ClosedException>(call);
      expect(failure.operation, name, 'the operation');
    }
    await pair.close();
  });
}

void expectEnds(Pair pair, InternetAddress address) {
  final Pair(:listener, :connected, :accepted) = pair;
  expect(listener.address, address, 'the address of the listener');
  for (final connection in [connected, accepted]) {
    expect(connection.localAddress, address, 'the local address');
    expect(connection.remoteAddress, address, 'the remote address');
  }
  expect(connected.remotePort, listener.port, 'the remote port');
  expect(accepted.localPort, listener.port, 'the local port of the other end');
  expect(accepted.remotePort, connected.localPort, 'the remote port of the other end');
  expectTrue(connected.localPort != listener.port, 'the ports differ');
}
