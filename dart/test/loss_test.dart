/// The daemon dies, and another one takes its place. This kills the daemon that serves $OCHE_SOCKET.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';

import 'support/daemon.dart';
import 'support/garbage.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

/// A test that ends with a daemon that everybody knows of.
void testLoss(String name, Future<void> Function() body) => test(name, () async {
      await body();
      await recover();
    });

/// Opens connections until it is known that a daemon has died, and another one serves.
Future<void> recover() async {
  while (true) {
    try {
      final pair = await Pair.open();
      await expectEcho(pair.connected, pair.accepted);
      return await pair.close();
    } on DaemonLostException {
      continue; // it was not known yet
    }
  }
}

Future<void> main(List<String> arguments) {
  losing();
  goingOn();
  withInterfacesOfDart();
  return runTests(arguments);
}

/// Two connections with a read, writes and an accept pending, and their failures.
Future<(Pair, List<Future<DaemonLostException>>)> busyPair() async {
  final pair = await Pair.open();
  return (
    pair,
    [
      expectFails<DaemonLostException>(pair.connected.read()),
      expectFails<DaemonLostException>(pair.connected.write(Uint8List(32 << 20))),
      expectFails<DaemonLostException>(pair.connected.flush()),
      expectFails<DaemonLostException>(pair.connected.closeWrite()),
      expectFails<DaemonLostException>(pair.listener.accept()),
    ]
  );
}

/// Kills the daemon, and comes back when that is known.
Future<void> lose() async {
  final (_, failures) = await busyPair();
  killDaemon();
  await Future.wait(failures);
}

/// Nothing works on sockets of a daemon that is gone, and says why.
Future<void> expectLost(Pair pair) async {
  final Pair(:connected, :listener) = pair;
  for (final (operation, call) in <(String, FutureOr<Object?> Function())>[
    ('read', connected.read),
    ('write', () => connected.write([1])),
    ('write', connected.flush),
    ('closeWrite', connected.closeWrite),
    ('setOption', () => connected.setNoDelay(true)),
    ('accept', listener.accept),
  ]) {
    final failure = await failureOf<DaemonLostException>(call);
    if (operation != 'closeWrite') expect(failure.operation, operation, 'the operation');
  }
  expect(connected.remotePort, listener.port, 'the port of the other end');
  expect(connected.noDelay, false, 'the option');
}

void losing() {
  testLoss('everything that is pending fails with a DaemonLostException', () async {
    final (_, failures) = await busyPair();
    killDaemon();
    final operations = [for (final failure in await Future.wait(failures)) failure.operation];
    expect(operations.toSet().difference({'read', 'write', 'closeWrite', 'accept'}).length, 0,
        'the operations besides those that were made, of $operations');
  });

  testLoss('a connect that is pending fails with a DaemonLostException', () async {
    final listener = await Listener.bind(loopback, 0, backlog: 1);
    final attempts = [
      for (var i = 0; i < 8; i++) Connection.startConnect(loopback, listener.port),
    ];
    final outcomes = [
      for (final attempt in attempts)
        attempt.connection.then((_) => 'made', onError: (Object error) => '${error.runtimeType}'),
    ];
    await Future.any(outcomes); // but the last ones find the backlog full
    killDaemon();
    final all = (await Future.wait(outcomes)).toSet();
    expectTrue(all.remove('DaemonLostException'), 'some were lost');
    expectTrue(all.difference({'made'}).isEmpty, 'the others were made: $all');
    for (final attempt in attempts) {
      attempt.cancel(); // which is nothing to be cancelled any more
    }
  });

  testLoss('later operations on sockets of before fail with a DaemonLostException', () async {
    final pair = await Pair.open();
    await lose();
    await expectLost(pair);
  });

  testLoss('sockets of before stay lost when there is another daemon', () async {
    final pair = await Pair.open();
    await lose();
    final others = [for (var i = 0; i < 5; i++) await Pair.open()];
    await expectLost(pair);
    await pair.close();
    for (final other in others) {
      await expectEcho(other.connected, other.accepted);
      await other.close();
    }
  });

  testLoss('close and destroy complete, whatever was pending', () async {
    final idle = await Pair.open();
    final (busy, failures) = await busyPair();
    final closing = await Pair.open();
    unawaited(closing.connected.write(Uint8List(32 << 20)).catchError((Object _) {}));
    final closed = closing.connected.close(); // waits for the peer
    killDaemon();
    await closed;
    await Future.wait(failures);
    for (final pair in [idle, busy, closing]) {
      await pair.connected.close();
      pair.connected.destroy();
      pair.accepted.destroy();
      await pair.accepted.close();
      await pair.listener.close();
      await pair.listener.close(force: true);
    }
    await expectFails<ClosedException>(idle.connected.read());
  });

  testLoss('close and destroy in the moment of the loss complete', () async {
    for (var i = 0; i < 5; i++) {
      final (pair, failures) = await busyPair();
      for (final failure in failures) {
        failure.ignore(); // or it is a ClosedException
      }
      killDaemon();
      final closed = [pair.connected.close(), pair.listener.close()];
      pair.accepted.destroy();
      await Future.wait(closed);
      await pair.close();
    }
  });

  testLoss('a stream of a connection ends with an error', () async {
    final pair = await Pair.open();
    final events = <Object>[];
    final ended = Completer<void>();
    pair.accepted.stream
        .listen(events.addAll, onError: (Object error) => events.add(error.runtimeType), onDone: ended.complete);
    await pair.connected.write([180]);
    await eventually(() => events.isNotEmpty, 'the data comes');
    killDaemon();
    await ended.future;
    expect(events, [180, DaemonLostException], 'the events');
  });

  testLoss('a stream that is resumed after the loss ends with an error', () async {
    final pair = await Pair.open();
    final errors = <Object>[];
    final ended = Completer<void>();
    final subscription = pair.accepted.stream
        .listen(null, onError: (Object error) => errors.add(error.runtimeType), onDone: ended.complete)
      ..pause();
    await lose();
    subscription.resume();
    await ended.future;
    expect(errors, [DaemonLostException], 'the errors');
  });

  testLoss('a stream that is listened to after the loss ends with an error', () async {
    final pair = await Pair.open();
    await lose();
    final errors = <Object>[];
    await pair.accepted.stream.handleError((Object error) => errors.add(error.runtimeType)).drain<void>();
    await pair.listener.stream.handleError((Object error) => errors.add(error.runtimeType)).drain<void>();
    expect(errors, [DaemonLostException, DaemonLostException], 'the errors');
  });

  testLoss('a stream of a listener ends with an error', () async {
    final listener = await Listener.bind(loopback, 0);
    final events = <Object>[];
    final ended = Completer<void>();
    listener.stream
        .listen(events.add, onError: (Object error) => events.add(error.runtimeType), onDone: ended.complete);
    killDaemon();
    await ended.future;
    expect(events, [DaemonLostException], 'the events');
  });

  testLoss('the peers see the end', () async {
    final mixed = await Mixed.open();
    killDaemon();
    await mixed.peer.ended;
    await mixed.close();
  });
}

void goingOn() {
  testLoss('the next bind starts another daemon', () async {
    final before = await Pair.open();
    final killed = daemonPid();
    await lose();
    final pair = await Pair.open();
    expectTrue(daemonPid() != killed, 'another daemon serves');
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
    await before.close();
  });

  testLoss('the next connect starts another daemon', () async {
    final server = await ServerSocket.bind(loopback, 0);
    final pair = await Pair.open();
    final killed = daemonPid();
    await lose();
    final accepted = server.first;
    final connection = await Connection.connect(loopback, server.port);
    expectTrue(daemonPid() != killed, 'another daemon serves');
    final socket = await accepted;
    socket.write('welcome back');
    await socket.close();
    expect(utf8.decode(await readAll(connection)), 'welcome back');
    socket.destroy();
    await connection.close();
    await pair.close();
  });

  testLoss('the same port can be bound again', () async {
    final pair = await Pair.open();
    await lose();
    final again = await Listener.bind(pair.listener.address, pair.listener.port);
    final accepted = again.accept();
    final connected = await Connection.connect(again.address, again.port);
    await expectEcho(connected, await accepted);
    await connected.close();
    await again.close(force: true);
    await pair.close();
  });

  testLoss('whoever does not notice the loss can go on at once', () async {
    for (var i = 0; i < 10; i++) {
      killDaemon();
      await recover(); // whether the library knows it already or not, it succeeds or says that the daemon was lost
    }
  });

  testLoss('binds and connects amid which the daemon dies succeed or fail, and each of them once', () async {
    for (var round = 0; round < 5; round++) {
      final peer = await ServerSocket.bind(loopback, 0);
      peer.listen((socket) => socket.drain<void>().whenComplete(socket.destroy).ignore(), onError: (Object _) {});
      final binds = [
        for (var i = 0; i < 200; i++) Listener.bind(loopback, 0).then<Object>((it) => it),
      ];
      final connects = [
        for (var i = 0; i < 50; i++) Connection.connect(loopback, peer.port).then<Object>((it) => it),
      ];
      final outcomes = [
        for (final future in [...binds, ...connects]) future.onError<OcheException>((failure, _) => failure),
      ];
      await outcomes[round * 40];
      killDaemon();
      for (final outcome in await Future.wait(outcomes)) {
        if (outcome is OcheException) {
          expectTrue(outcome is DaemonLostException, 'it was the loss: $outcome');
        }
      }
      await peer.close();
    }
  });

  testLoss('connections of before that are forgotten do not close those of now', () async {
    for (var i = 0; i < 30; i++) {
      await Pair.open(); // and forget it
    }
    await lose();
    final pairs = [for (var i = 0; i < 30; i++) await Pair.open()];
    for (var i = 0; i < 5; i++) {
      makeGarbage();
      await letOthersGoOn();
    }
    for (final (i, pair) in pairs.indexed) {
      await expectEcho(pair.connected, pair.accepted, i);
      await pair.close();
    }
  });

  testLoss('an isolate that has lost its daemon still ends by itself', () async {
    final messages = ReceivePort(), exit = ReceivePort();
    await Isolate.spawn(loseAndEnd, messages.sendPort, onExit: exit.sendPort);
    await messages.first;
    final pair = await Pair.open();
    final read = expectFails<DaemonLostException>(pair.connected.read());
    killDaemon();
    await read;
    await exit.first;
  });

  testLoss('two isolates both lose their sockets, and both go on', () async {
    final ready = ReceivePort();
    final other = loseElsewhere(ready.sendPort);
    await ready.first;
    await lose();
    final pair = await Pair.open();
    await expectEcho(pair.connected, pair.accepted);
    await pair.close();
    await other;
  });
}

/// An isolate's whole life.
Future<void> loseAndEnd(SendPort port) async {
  final pair = await Pair.open();
  pair.connected.read().ignore();
  pair.accepted.write(Uint8List(32 << 20)).ignore();
  pair.listener.accept().ignore();
  port.send('ready');
}

/// Apart, for a closure is sent to an isolate with everything around it.
Future<void> loseElsewhere(SendPort ready) => Isolate.run(() async {
      final pair = await Pair.open();
      final lost = expectFails<DaemonLostException>(pair.connected.read());
      ready.send('ready');
      await lost;
      final next = await Pair.open();
      await expectEcho(next.connected, next.accepted);
      await next.close();
    });

void withInterfacesOfDart() {
  testLoss(
      'a Socket has an error in its stream, and then ends',
      () => runWithOche(() async {
            final server = await ServerSocket.bind(loopback, 0);
            final accepted = server.first;
            final socket = await Socket.connect(loopback, server.port);
            final errors = <Object>[];
            final ended = Completer<void>();
            socket.listen(null, onError: errors.add, onDone: ended.complete);
            (await accepted).listen(null);
            killDaemon();
            await ended.future;
            expect(errors.length, 1, 'the number of errors');
            expectTrue(errors.single is DaemonLostException, 'it was the loss: ${errors.single}');
            expectTrue(errors.single is SocketException, 'it is one of dart:io');
            socket.destroy();
          }));

  testLoss(
      'a ServerSocket goes on',
      () => runWithOche(() async {
            final server = await ServerSocket.bind(loopback, 0);
            final sockets = StreamIterator(server);
            final next = sockets.moveNext();
            await lose();
            final socket = await Socket.connect(loopback, server.port);
            expectTrue(await next, 'somebody comes');
            sockets.current.destroy();
            socket.destroy();
            await sockets.cancel();
            await server.close();
          }));

  testLoss(
      'an HttpServer goes on, and answers',
      () => runWithOche(() async {
            final server = await HttpServer.bind(loopback, 0);
            server.listen(
              (request) => request.response
                ..write('you asked for ${request.uri}')
                ..close(),
            );
            Future<String> ask() async {
              final client = HttpClient();
              try {
                final request = await client.get(loopback.address, server.port, '/the/board');
                return await utf8.decodeStream(await request.close());
              } finally {
                client.close(force: true);
              }
            }

            expect(await ask(), 'you asked for /the/board');
            await lose();
            expect(await ask(), 'you asked for /the/board');
            await server.close(force: true);
          }));
}
