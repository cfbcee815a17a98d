/// ServerSocket: binding, accepting, and closing.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  binding();
  accepting();
  closing();
  sharing();
  return runTests(arguments);
}

const _ownError = 'dart:io knows its own servers, and has an error of its own for them';

void binding() {
  conforms('port 0 becomes a port, a given port stays', (log) async {
    final server = await log.bind();
    log('server')('a port: ${server.port > 0}');
    final other = await log.bind(address: '127.77.77.77', port: server.port);
    log('server')('the same: ${server.port == other.port}');
  });

  for (final address in ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost', '127.9.8.7']) {
    conforms('the address of a server at $address', (log) async {
      log('server')(describe((await log.bind(address: address)).address));
    });
  }

  conforms('as an InternetAddress', (log) async {
    for (final address in [
      InternetAddress.loopbackIPv4,
      InternetAddress.anyIPv4,
      InternetAddress.loopbackIPv6,
      InternetAddress.anyIPv6,
      InternetAddress('127.1.1.1'),
    ]) {
      final server = await log.bind(address: address);
      log('server')('${describe(server.address)} ${server.address == address}');
    }
  });

  conforms(
    'a port that is taken',
    (log) async {
      final server = await log.bind();
      try {
        await ServerSocket.bind(server.address, server.port);
      } on SocketException catch (error) {
        log('server')(describe(error));
        log('server')('address ${error.address == server.address}, port ${error.port == server.port}');
        log('server')('says what is wrong: ${'$error'.contains('Address already in use')}');
      }
    },
    expected: [
      'server: SocketException(errno -1)',
      'server: address true, port true',
      'server: says what is wrong: false',
    ],
    differs: _ownError,
    oche: [
      'server: SocketException(errno 98)',
      'server: address true, port true',
      'server: says what is wrong: true',
    ],
  );

  conforms('a port of a connection that was accepted', (log) async {
    final (client, _) = await log.pair();
    await log('server').outcome('bind', ServerSocket.bind('127.0.0.1', client.port));
  });

  conforms('an address that is not here', (log) async {
    await log('server').outcome('bind', ServerSocket.bind('192.0.2.211', 0));
  });

  conforms('IPv4 and IPv6 at the same port', (log) async {
    final four = await log.bind(address: InternetAddress.anyIPv4);
    await log('v6Only').outcome('bind', log.bind(address: InternetAddress.anyIPv6, port: four.port, v6Only: true));
  });

  conforms('IPv4 is in the way of IPv6 for both', (log) async {
    final four = await log.bind(address: InternetAddress.anyIPv4);
    await log('both').outcome('bind', log.bind(address: InternetAddress.anyIPv6, port: four.port));
  });

  conforms('again at the same port after closing, with connections still there', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final client = await log.connect(server);
    final served = log.own(await accepted);
    await server.close();
    final again = await log.bind(port: server.port);
    log('again')('the same port: ${again.port == server.port}');
    client.write('the first connection lives on');
    unawaited(client.close());
    await log('in').watch(served).done;
  });

  conforms('again at the same port, ten times', (log) async {
    var port = 0;
    for (var i = 0; i < 10; i++) {
      final server = await ServerSocket.bind('127.0.0.1', port);
      port = server.port;
      final accepted = server.first;
      final client = await Socket.connect('127.0.0.1', port);
      final served = await accepted;
      served.destroy();
      await client.drain<void>();
      client.destroy();
      await server.close();
    }
    log('server')('ten');
  });

  conforms('a server has one listener', (log) async {
    final server = await log.bind();
    log('server')('broadcast: ${server.isBroadcast}');
    server.listen((_) {});
    try {
      server.listen((_) {});
    } on StateError {
      log('server')('a StateError');
    }
  }, expected: ['server: broadcast: false', 'server: a StateError']);
}

/// Connects, sends the text, and ends.
Future<void> _say(ServerSocket server, String text) async {
  final socket = await Socket.connect(server.address, server.port);
  socket.write(text);
  await socket.close();
  await socket.drain<void>();
  socket.destroy();
}

/// What a client says.
Future<String> _hear(Socket socket) async {
  final text = await utf8.decodeStream(socket);
  await socket.close();
  socket.destroy();
  return text;
}

void accepting() {
  conforms('connections come in their order', (log) async {
    final server = await log.bind();
    final sockets = StreamIterator(server);
    for (var i = 0; i < 5; i++) {
      final saying = _say(server, 'client $i');
      await sockets.moveNext();
      log('server')(await _hear(sockets.current));
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
      log('server')(await _hear(socket));
      if (++heard == 3) break;
    }
  });

  conforms('first closes the server', (log) async {
    final server = await log.bind();
    final first = server.first;
    unawaited(_say(server, 'hello'));
    log('server')(await _hear(await first));
    await eventually(() async {
      try {
        (await Socket.connect(server.address, server.port)).destroy();
        return false;
      } on SocketException {
        return true;
      }
    }, 'the server is closed');
    log('client')('refused');
  });

  conforms('take(3), and forEach', (log) async {
    final server = await log.bind();
    final serving = server.take(3).forEach((socket) async {
      log('server')(await _hear(socket));
    });
    for (var i = 0; i < 3; i++) {
      await _say(server, 'hello');
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
    final clients = Future.wait([for (var i = 0; i < 5; i++) _say(server, 'hello')]);
    var count = 0;
    await for (final socket in server) {
      log('server')(await _hear(socket));
      if (++count == 5) break;
    }
    await clients;
  });

  conforms('asyncMap, and where', (log) async {
    final server = await log.bind();
    final texts = server.asyncMap(_hear).where((text) => text != 'no').take(2).toList();
    for (final text in ['yes', 'no', 'yes']) {
      await _say(server, text);
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

void closing() {
  conforms('close ends the stream, and completes with the server', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    server.listen((_) {}, onDone: () {
      log('server')('done');
      done.complete();
    });
    final closed = await server.close();
    log('close')('the server itself: ${identical(closed, server)}');
    await done.future;
    log('close')('again: ${identical(await server.close(), server)}');
  });

  conforms('close before listening', (log) async {
    final server = await log.bind();
    await log('server').outcome('close', server.close());
    final list = server.toList().then<Object?>((sockets) => sockets.length);
    await log('server').settles('toList', list);
  });

  conforms('what it is called after close', (log) async {
    final server = await log.bind();
    final port = server.port;
    await server.close();
    log('server').tries('port', () => server.port == port);
    log('server').tries('address', () => server.address);
  });

  conforms('what it is called after close, if nobody asked before', (log) async {
    final server = await ServerSocket.bind('127.0.0.1', 0);
    await server.close();
    log('server').tries('address', () => server.address);
  });

  conforms('a connection that waits is broken by close', (log) async {
    final server = await log.bind();
    final client = await log.connect(server);
    await server.close();
    await log('in').watch(client).done;
  });

  conforms('connections that were accepted live on', (log) async {
    final server = await log.bind();
    final accepted = Completer<Socket>();
    server.listen(accepted.complete);
    final client = await log.connect(server);
    final served = log.own(await accepted.future);
    await server.close();
    served.write('still here');
    unawaited(served.close());
    await log('client').watch(client).done;
  });

  conforms('cancelling the subscription closes the server', (log) async {
    final server = await log.bind();
    final subscription = server.listen((_) {});
    await log('server').outcome('cancel', subscription.cancel());
    await eventually(() async {
      try {
        (await Socket.connect(server.address, server.port)).destroy();
        return false;
      } on SocketException {
        return true;
      }
    }, 'the server is closed');
    await log('server').outcome('close', server.close());
  });

  conforms('close in the callback', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    server.listen((socket) {
      log('server')('a connection');
      socket.destroy();
      server.close();
    }, onDone: () {
      log('server')('done');
      done.complete();
    });
    final client = await log.connect(server);
    await done.future;
    await log('client').watch(client).done;
  });

  conforms('close while paused', (log) async {
    final server = await log.bind();
    final done = Completer<void>();
    final subscription = server.listen((socket) => log('server')('a connection'), onDone: () {
      log('server')('done');
      done.complete();
    })
      ..pause();
    await log('server').outcome('close', server.close());
    await turns(10);
    log('server')('resume');
    subscription.resume();
    await done.future;
  });

  conforms('an await for ends', (log) async {
    final server = await log.bind();
    final client = await log.connect(server);
    await for (final socket in server) {
      log('server')('a connection');
      socket.destroy();
      unawaited(server.close());
    }
    log('server')('behind');
    await log('client').watch(client).done;
  });
}

void sharing() {
  conforms('shared servers share a port', (log) async {
    final one = await log.bind(shared: true);
    final two = await log.bind(port: one.port, shared: true);
    var count = 0;
    final all = Completer<void>();
    void count1(Socket socket) {
      log.own(socket);
      if (++count == 20) all.complete();
    }

    one.listen(count1);
    two.listen(count1);
    for (var i = 0; i < 20; i++) {
      await log.connect(one);
    }
    await all.future;
    log('servers')('$count connections');
  });

  conforms('the other goes on when one is closed', (log) async {
    final one = await log.bind(shared: true);
    final two = await log.bind(port: one.port, shared: true);
    await one.close();
    final saying = _say(two, 'hello');
    log('server')(await _hear(await two.first));
    await saying;
  });

  conforms(
    'one that is not shared is in the way',
    (log) async {
      final one = await log.bind();
      await log('shared').outcome('bind', log.bind(port: one.port, shared: true));
    },
    expected: ['shared: bind fails: SocketException(errno -1)'],
    differs: _ownError,
    oche: ['shared: bind fails: SocketException(errno 98)'],
  );

  conforms(
    'one that is shared is in the way of one that is not',
    (log) async {
      final one = await log.bind(shared: true);
      await log('alone').outcome('bind', log.bind(port: one.port));
    },
    expected: ['alone: bind fails: SocketException(errno -1)'],
    differs: _ownError,
    oche: ['alone: bind fails: SocketException(errno 98)'],
  );

  conforms('shared at different addresses', (log) async {
    final one = await log.bind(shared: true);
    await log('other').outcome('bind', log.bind(address: '127.0.0.2', port: one.port, shared: true));
  });
}
