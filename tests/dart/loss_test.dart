/// The daemon dies. This kills the daemon that serves $OCHE_SOCKET.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'client.dart';
import 'peers.dart';
import 'refusals.dart';
import 'testing.dart';

Future<void> main(List<String> arguments) {
  losing();
  return runTests(arguments);
}

/// The process that serves. The daemon writes its number to the lock file beside the socket.
Future<int> daemonPid() async {
  final socket = Platform.environment['OCHE_SOCKET'];
  if (socket == null) throw Skip('it would kill your daemon; set OCHE_SOCKET to a place of its own');
  return int.parse((await File('$socket.lock').readAsString()).trim());
}

Future<int> killDaemon() async {
  final pid = await daemonPid();
  expectTrue(Process.killPid(pid, ProcessSignal.sigkill), 'process $pid could be killed');
  return pid;
}

Future<void> expectEcho(Client client) async {
  final listener = await client.listen(loopback, 0);
  final served = serveEcho(client, listener);
  final question = pattern(100000);
  final answer = await exchange(client, client.localPort(listener), question);
  expect(checksum(answer), checksum(question));
  await client.closeListener(listener);
  await served;
}

void losing() {
  testClient('everything pending completes with DAEMON_LOST, and the next listen works', (client) async {
    final pair = await Pair.open(client), unread = await Pair.open(client);
    final pending = [
      client.read(pair.connected),
      client.read(pair.accepted),
      client.accept(pair.listener),
      client.write(unread.connected, Uint8List(24 << 20)),
    ];
    final lost = pending.map((future) => expectFailure(future, TCP_ERR_DAEMON_LOST)).toList();
    final killed = await killDaemon();
    await Future.wait(lost);
    expectAllRefused(pair.connected, TCP_ERR_INVALID_HANDLE);
    expectAllRefused(pair.listener, TCP_ERR_INVALID_HANDLE);
    await expectEcho(client);
    expectTrue(await daemonPid() != killed, 'another daemon serves');
    expectAllRefused(pair.connected, TCP_ERR_INVALID_HANDLE);
  });

  testClient('the next connect works as well', (client) async {
    final server = await ServerSocket.bind(loopback, 0);
    final pair = await Pair.open(client);
    final lost = expectFailure(client.read(pair.connected), TCP_ERR_DAEMON_LOST);
    await killDaemon();
    await lost;
    final accepted = server.first;
    final connection = await client.connect(loopback, server.port);
    final socket = await accepted;
    socket.write('welcome back');
    await socket.close();
    expect(utf8.decode(await client.readAll(connection)), 'welcome back');
    socket.destroy();
  });

  testClient('the peers see the end of their connections', (client) async {
    final mixed = await Mixed.open(client);
    await killDaemon();
    await mixed.ended();
    await mixed.socket.close();
  });

  testClient('amid traffic every request completes once', (client) async {
    final listener = await client.listen(loopback, 0);
    final port = client.localPort(listener);
    final question = pattern(1 << 20);
    var answered = 0;
    final half = Completer<void>();
    Future<void> ask() async {
      try {
        while (true) {
          expect(checksum(await exchange(client, port, question)), checksum(question));
          if (++answered == 10) half.complete();
        }
      } on TcpException catch (exception) {
        expectLoss(exception);
      }
    }

    final served = serveEcho(client, listener).catchError((Object exception) => expectLoss(exception as TcpException));
    final asked = [for (var i = 0; i < 20; i++) ask()];
    await half.future;
    await killDaemon();
    await Future.wait(asked);
    await served;
    await client.settled();
    await expectEcho(client);
  });

  testClient('two isolates both lose their sockets and both go on', (client) async {
    final ready = ReceivePort();
    final other = spawnLoser(ready.sendPort);
    await ready.first;
    final pair = await Pair.open(client);
    final lost = expectFailure(client.read(pair.connected), TCP_ERR_DAEMON_LOST);
    await killDaemon();
    await lost;
    await expectEcho(client);
    await other;
  });

  testClient('starting a daemon and child processes of the VM do not disturb each other', (client) async {
    for (var i = 0; i < 5; i++) {
      final pair = await Pair.open(client);
      final lost = expectFailure(client.read(pair.connected), TCP_ERR_DAEMON_LOST);
      await killDaemon();
      await lost;
      final children = [for (var status = 0; status < 10; status++) exitCodeOf(status)];
      final echoed = expectEcho(client);
      expect(await Future.wait(children), [for (var status = 0; status < 10; status++) status]);
      await echoed;
    }
  });
}

void expectLoss(TcpException exception) {
  const codes = [
    TCP_ERR_DAEMON_LOST, // was pending
    TCP_ERR_INVALID_HANDLE, // came later
    TCP_ERR_CONNECT_FAILED, // came to the new daemon, where nobody listens
  ];
  expectTrue(codes.contains(exception.code), 'the daemon was lost: $exception');
}

/// Apart, for a closure is sent to an isolate with everything around it.
Future<void> spawnLoser(SendPort ready) => Isolate.run(() => loseAndGoOn(ready));

/// An isolate's whole life.
Future<void> loseAndGoOn(SendPort ready) async {
  final client = Client.open();
  final pair = await Pair.open(client);
  final lost = expectFailure(client.read(pair.connected), TCP_ERR_DAEMON_LOST);
  ready.send('ready');
  await lost;
  await expectEcho(client);
  await client.destroy();
}

/// The exit code of a child that exits with this status.
Future<int> exitCodeOf(int status) async {
  // Not LD_PRELOAD: the child may be of another word size.
  final child = await Process.run('/bin/sh', ['-c', 'exit $status'], environment: {}, includeParentEnvironment: false);
  return child.exitCode;
}
