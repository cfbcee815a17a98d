/// Several isolates, each with a session of its own, and isolates that end without a word.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:ffi';
import 'dart:io';
import 'dart:isolate';
import 'dart:typed_data';

import 'package:oche/src/bindings.dart';

import 'client.dart';
import 'peers.dart';
import 'testing.dart';

Future<void> main(List<String> arguments) {
  living();
  dying();
  return runTests(arguments);
}

/// An isolate's whole life: an echo server and clients on 20 connections. Returns how many answers
/// were right.
Future<int> echoAlone(int seed) async {
  final client = Client.open();
  final listener = await client.listen(loopback, 0);
  final served = serveEcho(client, listener);
  final port = client.localPort(listener);
  final questions = [for (var i = 0; i < 20; i++) pattern(50000 + i, seed * 100 + i)];
  final answers = await Future.wait([for (final question in questions) exchange(client, port, question)]);
  await client.closeListener(listener);
  await served;
  await client.destroy();
  var right = 0;
  for (var i = 0; i < questions.length; i++) {
    if (checksum(answers[i]) == checksum(questions[i])) right++;
  }
  return right;
}

/// An isolate's whole life: one exchange with somebody who listens.
Future<Uint8List> exchangeAlone(int port, Uint8List question) async {
  final client = Client.open();
  final answer = await exchange(client, port, question);
  await client.destroy();
  return answer;
}

void living() {
  test('two isolates echo at once and get what is theirs', () async {
    // Their request ids are the same, for both count from one.
    final right = await Future.wait([Isolate.run(() => echoAlone(1)), Isolate.run(() => echoAlone(2))]);
    expect(right, [20, 20], 'how many answers were right');
  });

  testClient('one isolate connects to the listener of another', (client) async {
    final listener = await client.listen(loopback, 0);
    final served = serveEcho(client, listener);
    final port = client.localPort(listener);
    final question = pattern(1 << 20);
    final answer = await Isolate.run(() => exchangeAlone(port, question));
    expect(checksum(answer), checksum(question));
    await client.closeListener(listener);
    await served;
  });

  testClient('tcp_destroy in one isolate leaves the session of another alone', (client) async {
    final pair = await Pair.open(client);
    final read = client.read(pair.accepted);
    await Isolate.run(() => Client.open().destroy());
    await client.write(pair.connected, utf8.encode('still here'));
    expect(utf8.decode(await read), 'still here');
  });

  testClient('a handle used in another isolate completes where it belongs', (client) async {
    final pair = await Pair.open(client);
    final connected = pair.connected;
    final read = client.read(pair.accepted);
    const id = 1 << 40;
    final completion = client.message((id) => 0, id: id); // the call itself is made over there
    expect(await Isolate.run(() => tcp_write(id, connected, Uint8List(9).address, 0, 9)), 0);
    expect(await completion, [id, 9, null], 'the message');
    expect(await read, Uint8List(9));
  });
}

/// An isolate that does not end by itself, and has a connection with a read pending.
class Victim {
  final Isolate _isolate;
  final ReceivePort _exit;

  Victim._(this._isolate, this._exit);

  static Future<Victim> spawn(int port) async {
    final ready = ReceivePort(), exit = ReceivePort();
    final isolate = await Isolate.spawn(_live, (ready.sendPort, port), onExit: exit.sendPort);
    final failure = await ready.first;
    if (failure != null) throw Failure('$failure');
    return Victim._(isolate, exit);
  }

  Future<void> kill() async {
    _isolate.kill(priority: Isolate.immediate);
    await _exit.first;
  }

  static Future<void> _live((SendPort, int) arguments) async {
    final (ready, port) = arguments;
    try {
      final client = Client.open();
      client.read(await client.connect(loopback, port)).ignore();
      ready.send(null);
    } catch (error) {
      ready.send('$error');
    }
  }
}

/// How many threads of this process post completions: as many as there are sessions.
Future<int> posters() async {
  var count = 0;
  await for (final task in Directory('/proc/self/task').list()) {
    try {
      if (await File('${task.path}/comm').readAsString() == 'oche-poster\n') count++;
    } on FileSystemException {
      // It has ended.
    }
  }
  return count;
}

void dying() {
  testClient('an isolate that is killed leaves nothing behind when more data comes', (client) async {
    final listener = await client.listen(loopback, 0);
    final accept = client.accept(listener);
    final victim = await Victim.spawn(client.localPort(listener));
    final accepted = await accept;
    expect(await posters(), 2, 'the number of sessions');
    final closed = expectFailure(client.read(accepted), TCP_ERR_CLOSED);
    await victim.kill();
    await client.write(accepted, utf8.encode('anybody?'));
    await closed;
    await eventually(() async => await posters() == 1, 'one session is left');
  });

  testClient('isolates come after isolates that were killed', (client) async {
    final listener = await client.listen(loopback, 0);
    final orphans = <int>[];
    for (var i = 0; i < 20; i++) {
      // The VM may well make the next isolate at the address of the last one.
      final accept = client.accept(listener);
      final victim = await Victim.spawn(client.localPort(listener));
      orphans.add(await accept);
      await victim.kill();
    }
    for (final orphan in orphans) {
      client.write(orphan, utf8.encode('anybody?')).ignore(); // some are closed by now
    }
    await eventually(() async => await posters() == 1, 'one session is left');
    expect(await Isolate.run(() => echoAlone(3)), 20, 'how many answers were right');
  });

  testClient('an isolate that has not called tcp_init has no session, wherever it lives', (client) async {
    final listener = await client.listen(loopback, 0);
    for (var i = 0; i < 10; i++) {
      final accept = client.accept(listener);
      final victim = await Victim.spawn(client.localPort(listener));
      await accept;
      await victim.kill();
      // Likely at the address of the victim, whose end nobody has told the library.
      expect(await Isolate.run(listenUninvited), TCP_ERR_NOT_INITIALIZED, 'tcp_listen');
    }
  });
}

int listenUninvited() => tcp_listen(1, nullptr, 4, 0, false, 0, false);
