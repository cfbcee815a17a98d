/// The daemon is there, but does not answer. This stops the daemon that serves $OCHE_SOCKET, and lets it go on.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'package:oche/io.dart';
import 'package:oche/oche.dart';

import 'support/daemon.dart';
import 'support/isolates.dart';
import 'support/pairs.dart';
import 'support/testing.dart';

Future<void> main(List<String> arguments) {
  limits();
  losing();
  opening();
  return runTests(arguments);
}

/// The daemon serves this program.
Future<void> expectServed() async {
  final pair = await Pair.open();
  await expectEcho(pair.connected, pair.accepted);
  await pair.close();
}

void limits() {
  test('a connect with a limit fails with a TimedOutException when that is over', () async {
    final pair = await Pair.open();
    await whileStopped((_) async {
      final port = pair.listener.port;
      const limit = Duration(milliseconds: 200);
      await expectFails<TimedOutException>(Connection.connect(loopback, port, timeout: limit));
      await expectFails<TimedOutException>(runWithOche(() => Socket.connect(loopback, port, timeout: limit)));
    });
    await pair.close();
    await expectServed();
  });
}

void losing() {
  test('what was asked of a daemon that is stopped fails with a DaemonLostException, and close completes', () async {
    final pair = await Pair.open();
    final closing = await Pair.open();
    final silent = await Pair.open();
    await whileStopped((_) async {
      await pair.connected.write([1, 2, 3]);
      final failures = [
        expectFails<DaemonLostException>(pair.connected.flush()),
        expectFails<DaemonLostException>(pair.connected.setNoDelay(true)),
        expectFails<DaemonLostException>(pair.accepted.closeWrite()),
        expectFails<DaemonLostException>(Connection.connect(loopback, pair.listener.port)),
        expectFails<DaemonLostException>(silent.connected.read()),
        expectFails<DaemonLostException>(silent.listener.accept()),
      ];
      await closing.connected.write([1]);
      await closing.connected.close();
      await closing.accepted.close();
      await closing.listener.close();
      await Future.wait(failures);
    });
    await expectServed();
  });

  test('after that a connect says which daemon does not answer, until it goes on', () async {
    final pair = await Pair.open();
    await whileStopped((pid) async {
      await expectFails<DaemonLostException>(pair.connected.setNoDelay(true));
      var turnsMeanwhile = 0;
      final ticker = Timer.periodic(const Duration(milliseconds: 10), (_) => turnsMeanwhile++);
      final failure = await expectFails<DaemonUnavailableException>(Connection.connect(loopback, 7));
      ticker.cancel();
      expect(failure.operation, 'open', 'the operation');
      expectTrue(failure.message.contains('process $pid, does not answer'), 'it says so: ${failure.message}');
      expectTrue(turnsMeanwhile > 10, 'the isolate went on meanwhile: $turnsMeanwhile turns');
    });
    await expectServed();
  });
}

/// Tells in which order things happen in an isolate that has no session yet.
Future<void> _firstSteps((SendPort, int) argument) async {
  final (port, listenerPort) = argument;
  final steps = <String>[];
  String step(String name, Object? outcome) {
    steps.add(name);
    return '$outcome';
  }

  final connecting = Connection.connect(loopback, listenerPort)
      .then((connection) => connection.close(), onError: (Object failure) => step('connect', failure.runtimeType));
  final binding = Listener.bind(loopback, 0)
      .then((listener) => listener.close(), onError: (Object failure) => step('bind', failure.runtimeType));
  await Connection.connect(loopback, listenerPort, timeout: const Duration(milliseconds: 100))
      .then((connection) => connection.close(), onError: (Object failure) => step('${failure.runtimeType}', null));
  await Future<void>.delayed(Duration.zero);
  step('turn', null);
  port.send(steps.toList());
  port.send([await connecting, await binding].join(' '));
}

void opening() {
  test('an isolate whose session waits for a daemon that is stopped goes on, and its limits are kept', () async {
    final pair = await Pair.open();
    await whileStopped((_) async {
      final life = await Life.begin(_firstSteps, pair.listener.port);
      expect(await life.next, ['TimedOutException', 'turn'], 'what has happened first');
      expect(await life.next, 'DaemonUnavailableException DaemonUnavailableException', 'the outcomes');
      await life.exited;
    });
    await pair.close();
    await expectServed();
  });
}
