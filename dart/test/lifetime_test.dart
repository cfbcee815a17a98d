/// How programs and isolates end, and what they leave: nothing.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/oche.dart';

import 'support/children.dart';
import 'support/daemon.dart';
import 'support/isolates.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

final observer = Observer();

Future<void> main(List<String> arguments) async {
  await prepareProgram('ends.dart');
  programs();
  isolates();
  deaths();
  manyIsolates();
  return runTests(arguments);
}

/// Runs the program `ends.dart`, and [peer] on what it connects to.
Future<Outcome> runEnds(String mode, Future<void> Function(Socket peer) peer) async {
  final server = await ServerSocket.bind(loopback, 0);
  final served = server.first.then((socket) async {
    await peer(socket);
    socket.destroy();
  });
  final outcome = await runProgram('ends.dart', [mode, '${server.port}']);
  await served;
  return outcome;
}

Future<int> sumOf(Socket peer) => peer.fold<int>(1, (sum, data) => checksum(data, sum));

void programs() {
  test('a program whose connections and listeners are idle ends', () async {
    expectSuccess(await runEnds('idle', (peer) => peer.drain()), ['idle: 127.0.0.1']);
  });

  test('a program that reads stays until something has come', () async {
    final outcome = await runEnds('read', (peer) async {
      await letOthersGoOn();
      peer.add([180]);
      await peer.drain<void>();
    });
    expectSuccess(outcome, ['read: [180]']);
  });

  test('a program that listens to a stream stays until its end', () async {
    final outcome = await runEnds('stream', (peer) async {
      await letOthersGoOn();
      peer.add([180]);
      await peer.close();
      await peer.drain<void>();
    });
    expectSuccess(outcome, ['stream: [180]', 'stream: end']);
  });

  test('a program that accepts stays until somebody has come', () async {
    final outcome = await runEnds('accept', (peer) async {
      final port = int.parse(utf8.decode(await peer.first));
      await letOthersGoOn();
      final socket = await Socket.connect(loopback, port);
      socket.add([180]);
      await socket.drain<void>();
      socket.destroy();
    });
    expectSuccess(outcome, ['accept: [180]']);
  });

  test('a program that waits for no write has all of it sent before it ends', () async {
    final sums = <int>[];
    expectSuccess(await runEnds('write', (peer) async => sums.add(await sumOf(peer))));
    expectSuccess(await runEnds('write little', (peer) async => sums.add(await sumOf(peer))));
    expectSuccess(await runEnds('closeWrite', (peer) async => sums.add(await sumOf(peer))));
    expect(
        sums,
        [
          checksum(pattern(16 << 20)),
          checksum([for (var i = 0; i < 100; i++) i]),
          checksum(pattern(100000)),
        ],
        'the checksums');
  });

  test('a program that calls exit() has sent what a system would have taken of it', () async {
    final sums = <int>[];
    expectSuccess(await runEnds('exit', (peer) async => sums.add(await sumOf(peer))));
    expect(sums, [checksum(pattern(4 << 20))], 'the checksum');
  });

  test('a program that fails ends, and its peers see the end', () async {
    final outcome = await runEnds('throw', (peer) => peer.drain());
    expect(outcome.exitCode, 255, 'the exit code');
    expectTrue(outcome.errors.contains('on purpose'), 'it says why: ${outcome.errors}');
  });
}

void isolates() {
  test('an isolate whose connections and listeners are idle ends', () async {
    final life = await Life.begin((_) async {
      final pair = await Pair.open();
      await expectEcho(pair.connected, pair.accepted);
    }, null);
    await life.exited;
  });

  test('an isolate that reads and accepts stays until something has come', () async {
    final life = await Life.begin((arguments) async {
      final (port, _) = arguments;
      final listener = await Listener.bind(loopback, 0);
      port.send(listener.port);
      final connection = await listener.accept();
      port.send(await connection.read());
    }, null);
    final port = await life.next as int;
    await letOthersGoOn();
    expect(life.hasEnded, false, 'that it has ended');
    final connection = await Connection.connect(loopback, port);
    await letOthersGoOn();
    expect(life.hasEnded, false, 'that it has ended');
    await connection.write([180]);
    expect(await life.next, [180]);
    await life.exited;
    expect(await connection.read(), null);
    await connection.close();
  });

  test('an isolate that waits for no write has all of it sent before it ends', () async {
    for (final count in [1, 100000, 8 << 20]) {
      final listener = await Listener.bind(loopback, 0);
      final life = await Life.begin((arguments) async {
        final (_, (port, count)) = arguments;
        final connection = await Connection.connect(loopback, port);
        unawaited(connection.write(pattern(count)));
      }, (listener.port, count));
      final accepted = await listener.accept();
      expect(checksum(await readAll(accepted)), checksum(pattern(count)), 'the checksum');
      await life.exited;
      await listener.close(force: true);
    }
  });

  test('an isolate that has read something ends when it reads no more', () async {
    final pair = await Pair.open();
    for (var round = 0; round < 3; round++) {
      final life = await Life.begin((arguments) async {
        final (port, peer) = arguments;
        final connection = await Connection.connect(loopback, peer);
        port.send(await connection.read());
        await connection.stream.take(1).drain<void>();
      }, pair.listener.port);
      final accepted = await pair.listener.accept();
      await accepted.write([1]);
      expect(await life.next, [1]);
      await accepted.write([2]);
      await life.exited;
      await accepted.close();
    }
    await pair.close();
  });
}

late Object kept;

/// An isolate with all kinds of sockets, and something pending on each.
Future<void> liveOn((SendPort, int) arguments) async {
  final (port, peer) = arguments;
  final pair = await Pair.open(), busy = await Pair.open();
  unawaited(pair.listener.accept().then(port.send));
  unawaited(pair.connected.read().then(port.send));
  busy.connected.write(Uint8List(32 << 20)).ignore();
  kept = [pair, busy];
  final connection = await Connection.connect(loopback, peer);
  connection.stream.listen((data) {
    if (data.first == 1) throw Failure('on purpose');
    if (data.first == 2) Isolate.exit();
  });
  port.send('ready');
}

void deaths() {
  for (final (name, end) in <(String, Future<void> Function(Life, Connection))>[
    ('is killed', (life, connection) => life.kill()),
    (
      'ends by an uncaught error',
      (life, connection) async {
        final error = life.error;
        await connection.write([1]);
        expect(await error, 'on purpose', 'the error');
        await life.exited;
      }
    ),
    (
      'just ends',
      (life, connection) async {
        await connection.write([2]);
        await life.exited;
      }
    ),
  ]) {
    test('an isolate that $name leaves nothing in the daemon, and its peers see the end', () async {
      final listener = await Listener.bind(loopback, 0);
      await eventually(() async => await observer.sessions == 1, 'there is one session');
      final sockets = await observer.sockets;
      final life = await Life.begin(liveOn, listener.port);
      final accepted = await listener.accept();
      expect(await life.next, 'ready');
      expect(await observer.sessions, 2, 'the number of sessions');
      expectTrue(await observer.sockets >= sockets + 8, 'its sockets are there');
      await end(life, accepted);
      expect(await accepted.read(), null);
      await accepted.close();
      await eventually(() async => await observer.sessions == 1, 'there is one session again');
      await eventually(() async => await observer.sockets == sockets, 'there are the sockets of before');
      await listener.close();
    });
  }

  test('an isolate that is killed amid traffic leaves nothing in the daemon', () async {
    for (var round = 0; round < 10; round++) {
      final life = await Life.begin((arguments) async {
        final (port, _) = arguments;
        final pair = await Pair.open();
        for (var i = 0;; i++) {
          await expectEcho(pair.connected, pair.accepted, i);
          if (i == round) port.send('busy');
        }
      }, null);
      expect(await life.next, 'busy');
      await life.kill();
    }
    await eventually(() async => await observer.sessions == 1, 'there is one session');
    expectTrue(await observer.sockets <= 3, 'there are few sockets');
  });
}

/// An isolate's whole life: an echo server and clients. Returns how many answers were right.
Future<int> echoAlone(int seed) async {
  final listener = await Listener.bind(loopback, 0);
  listener.stream.listen((connection) async {
    await for (final data in connection.stream) {
      await connection.write(data);
    }
    await connection.close();
  });
  Future<bool> ask(Uint8List question) async {
    final connection = await Connection.connect(loopback, listener.port);
    unawaited(connection.write(question));
    unawaited(connection.closeWrite());
    final answer = await readAll(connection);
    await connection.close();
    return checksum(answer) == checksum(question);
  }

  final answers = await Future.wait([
    for (var i = 0; i < 10; i++) ask(pattern(50000 + i, seed * 100 + i)),
  ]);
  await listener.close();
  return answers.where((isRight) => isRight).length;
}

/// Apart, for a closure is sent to an isolate with everything around it.
Future<int> echoElsewhere(int seed) => Isolate.run(() => echoAlone(seed));

void manyIsolates() {
  test('20 isolates echo at once, and get what is theirs', () async {
    final right = await Future.wait([for (var i = 0; i < 20; i++) echoElsewhere(i)]);
    expect(right, List.filled(20, 10), 'how many answers were right');
  });

  test('isolates that come and go leave no threads, descriptors or memory of the daemon', () async {
    Future<void> round(int i) async {
      final life = await Life.begin((arguments) async {
        final (port, i) = arguments;
        port.send(await echoAlone(i));
        if (i.isOdd) await (await Listener.bind(loopback, 0)).accept(); // until it is killed
      }, i);
      expect(await life.next, 10, 'how many answers were right');
      await (i.isOdd ? life.kill() : life.exited);
    }

    int maps() => RegExp('memfd').allMatches(File('/proc/self/maps').readAsStringSync()).length;

    for (var i = 0; i < 4; i++) {
      await round(i);
    }
    await eventually(() async => await observer.sessions == 1, 'there is one session');
    await eventually(() => threadsOfOche().length == 1, 'there is one thread');
    final threads = threadsOfOche(), before = descriptors(), mapped = maps();
    for (var i = 0; i < 50; i++) {
      await round(i);
    }
    await eventually(() async => await observer.sessions == 1, 'there is one session again');
    await eventually(() => threadsOfOche().length == 1, 'there is one thread again');
    expect(threadsOfOche(), threads, 'the threads');
    expect(descriptors(), before, 'the descriptors');
    await eventually(() => maps() <= mapped, 'no more memory is shared');
  });
}
