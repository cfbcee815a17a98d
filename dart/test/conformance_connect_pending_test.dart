/// Connects that take their time: limits, and tasks that can be given up.
library;

import 'dart:async';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  limits();
  tasks();
  return runTests(arguments);
}

void limits() {
  conforms('a limit passes', (log) async {
    final (address, port) = await log.blackHole();
    await log('client').outcome(
      'connect',
      Socket.connect(address, port, timeout: const Duration(milliseconds: 100)),
    );
  }, expected: ['client: connect fails: SocketException']);

  conforms('a limit that does not pass leaves no trace', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final client = log.own(
      await Socket.connect(server.address, server.port, timeout: const Duration(seconds: 30)),
    );
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a limit of no time at all, and of less', (log) async {
    final (address, port) = await log.blackHole();
    await log('client').outcome('zero', Socket.connect(address, port, timeout: Duration.zero));
    await log('client').outcome(
      'negative',
      Socket.connect(address, port, timeout: const Duration(seconds: -1)),
    );
  });

  conforms('refused before the limit passes', (log) async {
    final (address, port) = await deadEnd();
    await log('client').outcome(
      'connect',
      Socket.connect(address, port, timeout: const Duration(seconds: 30)),
    );
  });

  conforms('Future.timeout works as well, and what comes later troubles nobody', (log) async {
    final (address, port) = await log.blackHole();
    final task = await Socket.startConnect(address, port);
    await log('client').outcome('connect', task.socket.timeout(const Duration(milliseconds: 50)));
    task.cancel();
    await turns(10);
  });

  conforms('twenty limits at once', (log) async {
    final (address, port) = await log.blackHole();
    final outcomes = await Future.wait([
      for (var i = 0; i < 20; i++)
        Socket.connect(address, port, timeout: Duration(milliseconds: 10 * i))
            .then<String>((_) => 'connected', onError: (Object error) => describe(error)),
    ]);
    log('client')('${outcomes.toSet()}');
  });
}

void tasks() {
  conforms('a task connects', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port);
    final client = log.own(await task.socket);
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a task by name', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect('localhost', server.port);
    log.own(await task.socket).destroy();
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a task by a name that nobody knows', (log) async {
    final task = await Socket.startConnect('no such host', 80);
    await log('client').outcome('socket', task.socket);
  });

  conforms('a task by name is cancelled at once', (log) async {
    final (_, port) = await log.blackHole();
    final task = await Socket.startConnect('localhost', port);
    task.cancel();
    await log('client').outcome('socket', task.socket);
  });

  conforms('a task is refused', (log) async {
    final (address, port) = await deadEnd();
    final task = await Socket.startConnect(address, port);
    await log('client').outcome('socket', task.socket);
    log('client').tries('cancel', () {
      task.cancel();
      return null;
    });
  });

  conforms('a task is cancelled', (log) async {
    final (address, port) = await log.blackHole();
    final task = await Socket.startConnect(address, port);
    final outcome = log('client').outcome('socket', task.socket);
    await turns(5);
    task.cancel();
    await outcome;
    task.cancel();
  }, expected: ['client: socket fails: SocketException']);

  conforms('a task is cancelled at once', (log) async {
    final (address, port) = await log.blackHole();
    final task = await Socket.startConnect(address, port);
    task.cancel();
    await log('client').outcome('socket', task.socket);
  });

  conforms('a task is cancelled too late: the connection stays', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port);
    final client = log.own(await task.socket);
    task.cancel();
    client.write('hello');
    unawaited(client.close());
    await log('server').watch(log.own(await accepted)).done;
  });

  conforms('a source address for a task', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final task = await Socket.startConnect(server.address, server.port, sourceAddress: '127.0.0.7');
    log.own(await task.socket);
    log('server')(describe(log.own(await accepted).remoteAddress));
  });
}
