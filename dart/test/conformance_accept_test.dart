/// ServerSocket: the connections that come.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  accepting();
  return runTests(arguments);
}

void accepting() {
  conforms('connections come in their order', (log) async {
    final server = await log.bind();
    final sockets = StreamIterator(server);
    for (var i = 0; i < 5; i++) {
      final saying = say(server, 'client $i');
      await sockets.moveNext();
      log('server')(await hear(sockets.current));
      await saying;
    }
    await sockets.cancel();
  });

  conforms('connections from before listening', (log) async {
    final server = await log.bind();
    final clients = [for (var i = 0; i < 3; i++) await log.connect(server)];
    for (final client in clients) {
      client.write('x');
      unawaited(client.close());
    }
    var heard = 0;
    await for (final socket in server) {
      log('server')(await hear(socket));
      if (++heard == 3) break;
    }
  });

  conforms('first closes the server', (log) async {
    final server = await log.bind();
    final ServerSocket(:address, :port) = server;
    final first = server.first;
    unawaited(say(server, 'hello'));
    log('server')(await hear(await first));
    await nobodyListens(address, port);
    log('client')('refused');
  });

  conforms('take(3), and forEach', (log) async {
    final server = await log.bind();
    final serving = server.take(3).forEach((socket) async {
      log('server')(await hear(socket));
    });
    for (var i = 0; i < 3; i++) {
      await say(server, 'hello');
    }
    await log('server').outcome('forEach', serving);
  });

  conforms('while paused nothing comes, and nothing is lost', (log) async {
    final server = await log.bind();
    var count = 0;
    final all = Completer<void>();
    final subscription = server.listen((socket) {
      log.own(socket);
      if (++count == 10) all.complete();
    });
    subscription.pause();
    for (var i = 0; i < 10; i++) {
      await log.connect(server);
    }
    await turns(20);
    log('server')('while paused: $count');
    subscription.resume();
    await all.future;
    log('server')('then: $count');
  });

  conforms('a pause in the callback', (log) async {
    final server = await log.bind();
    var count = 0, most = 0, busy = 0;
    final all = Completer<void>();
    late final StreamSubscription<Socket> subscription;
    subscription = server.listen((socket) {
      log.own(socket);
      busy++;
      if (busy > most) most = busy;
      subscription.pause();
      Timer.run(() {
        busy--;
        if (++count == 10) all.complete();
        subscription.resume();
      });
    });
    for (var i = 0; i < 10; i++) {
      await log.connect(server);
    }
    await all.future;
    log('server')('$count, at most $most at the same time');
  });

  conforms('await for serves one after the other', (log) async {
    final server = await log.bind();
    final clients = Future.wait([for (var i = 0; i < 5; i++) say(server, 'hello')]);
    var count = 0;
    await for (final socket in server) {
      log('server')(await hear(socket));
      if (++count == 5) break;
    }
    await clients;
  });

  conforms('asyncMap, and where', (log) async {
    final server = await log.bind();
    final texts = server.asyncMap(hear).where((text) => text != 'no').take(2).toList();
    for (final text in ['yes', 'no', 'yes']) {
      await say(server, text);
    }
    log('server')('${await texts}');
  });

  conforms('500 connections at the same time', (log) async {
    final server = await log.bind();
    var most = 0, open = 0;
    server.listen((socket) async {
      if (++open > most) most = open;
      socket.add(await socket.first);
      await socket.close();
      socket.destroy();
      open--;
    });
    final sockets = <Socket>[];
    for (var i = 0; i < 10; i++) {
      // As many as the system keeps waiting at any rate.
      sockets.addAll(
        await Future.wait([for (var i = 0; i < 50; i++) Socket.connect(server.address, server.port)]),
      );
      await eventually(() => open == sockets.length, 'all are accepted');
    }
    log('client')('${sockets.length} connected');
    log('server')('$most at the same time');
    final ports = {for (final socket in sockets) socket.port};
    log('client')('${ports.length} ports');
    final answers = await Future.wait([
      for (final (i, socket) in sockets.indexed)
        () async {
          socket.write('number $i');
          final answer = await utf8.decodeStream(socket);
          socket.destroy();
          return answer == 'number $i';
        }(),
    ]);
    log('client')('right answers: ${answers.where((right) => right).length}');
  });

  conforms('500 connections one after the other', (log) async {
    final server = await log.bind();
    server.listen((socket) => socket.cast<List<int>>().pipe(socket));
    var right = 0;
    for (var i = 0; i < 500; i++) {
      final socket = await Socket.connect(server.address, server.port);
      socket.write('$i');
      unawaited(socket.close());
      if (await utf8.decodeStream(socket) == '$i') right++;
    }
    log('client')('$right');
  });

  conforms('a connection that is gone before it is accepted', (log) async {
    final server = await log.bind();
    final raw = await RawSocket.connect(server.address, server.port);
    await RawPeer.wrap(log, raw, name: 'nobody').close();
    await log('in').watch(log.own(await server.first)).done;
  });

  conforms('an error in the callback does not stop the server', (log) async {
    final server = await log.bind();
    var count = 0;
    final all = Completer<void>();
    server.listen((socket) {
      log.own(socket);
      if (++count == 3) all.complete();
      throw StateError('in the callback');
    });
    for (var i = 0; i < 3; i++) {
      await log.connect(server);
    }
    await all.future;
  });
}
