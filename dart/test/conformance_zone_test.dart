/// In which zone code runs, and which errors reach it.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'support/conformance.dart';

Future<void> main(List<String> arguments) {
  zones();
  uncaught();
  return runTests(arguments);
}

T _in<T>(String name, T Function() body) => runZoned(body, zoneValues: {#name: name});

String get _here => '${Zone.current[#name]}';

void zones() {
  conforms('data, errors and the end come in the zone of listen', (log) async {
    final (socket, peer) = await _in('connect', () => RawPeer.of(log));
    final done = Completer<void>();
    _in(
      'listen',
      () => socket.listen(
        (_) => log('in')('data in $_here'),
        onError: (Object _) => log('in')('error in $_here'),
        onDone: () {
          log('in')('done in $_here');
          done.complete();
        },
      ),
    );
    await peer.write(utf8.encode('hello'));
    await eventually(() => !log('in').isEmpty, 'data has come');
    await peer.reset();
    await done.future;
  }, expected: ['in: data in listen', 'in: error in listen', 'in: done in listen']);

  conforms('handlers that are set later run in the zone of listen', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final done = Completer<void>();
    final subscription = _in('listen', () => socket.listen(null));
    _in('later', () {
      subscription.onData((_) => log('in')('data in $_here'));
      subscription.onDone(() {
        log('in')('done in $_here');
        done.complete();
      });
    });
    await peer.write(utf8.encode('hello'));
    await peer.close();
    await done.future;
  });

  conforms('connections come in the zone of listen', (log) async {
    final server = await _in('bind', log.bind);
    final accepted = Completer<Socket>(), done = Completer<void>();
    _in(
      'listen',
      () => server.listen(
        (socket) {
          log('server')('a connection in $_here');
          accepted.complete(socket);
        },
        onDone: () {
          log('server')('done in $_here');
          done.complete();
        },
      ),
    );
    await log.connect(server);
    log.own(await accepted.future);
    await server.close();
    await done.future;
  });

  conforms('futures run their callbacks in the zone of then', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final socket = await _in(
      'connect',
      () => Socket.connect(server.address, server.port).then((socket) {
        log('connect')('in $_here');
        return log.own(socket);
      }),
    );
    log.own(await accepted).listen((_) {});
    socket.write('hello');
    await _in('flush', () => socket.flush().then((_) => log('flush')('in $_here')));
    await _in('close', () => socket.close().then((_) => log('close')('in $_here')));
    await _in('done', () => socket.done.then((_) => log('done')('in $_here')));
    await _in('server', () => server.close().then((_) => log('server')('in $_here')));
  });

  conforms('the source of addStream is listened to in the zone of addStream', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    Stream<List<int>> source() async* {
      log('source')('in $_here');
      yield [1];
    }

    await _in('addStream', () => client.addStream(source()));
  });

  conforms('a callback of pause and resume', (log) async {
    final (client, server) = await log.pair();
    server.listen((_) {});
    final source = _in(
      'source',
      () => StreamController<List<int>>(
        onListen: () => log('source')('listened to in $_here'),
        onCancel: () => log('source')('cancelled in $_here'),
      ),
    );
    final adding = _in('addStream', () => client.addStream(source.stream));
    await turns();
    unawaited(source.close());
    await adding;
  });

  conforms('many sockets, each in its zone', (log) async {
    final server = await log.bind();
    server.listen((socket) {
      log.own(socket);
      socket.cast<List<int>>().pipe(socket);
    });
    await Future.wait([
      for (var i = 0; i < 10; i++)
        _in('zone $i', () async {
          final socket = await log.connect(server);
          socket.write('hello');
          unawaited(socket.close());
          await socket.forEach((_) {
            if (_here != 'zone $i') log('wrong')(_here);
          });
          log('right')('one');
        }),
    ]);
  });
}

void uncaught() {
  conforms('an error in the callback of data goes to the zone, and data goes on', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final done = Completer<void>();
    runZonedGuarded(
      () => socket.listen(
        (data) {
          log('in').data(data);
          throw StateError('in the callback');
        },
        onDone: () {
          log('in')('done');
          done.complete();
        },
      ),
      (error, _) => log('zone')(describe(error)),
    );
    await peer.write(utf8.encode('one'));
    await eventually(() => log('in').bytes == 3, 'one');
    await peer.write(utf8.encode('two'));
    await eventually(() => log('in').bytes == 6, 'two');
    await peer.close();
    await done.future;
  });

  conforms('an error in the callback of the end goes to the zone', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final failed = Completer<void>();
    runZonedGuarded(
      () => socket.listen(null, onDone: () => throw StateError('in the callback')),
      (error, _) {
        log('zone')(describe(error));
        failed.complete();
      },
    );
    await peer.close();
    await failed.future;
    log('out').tries('write', () => socket.write('still works'));
    await log('out').outcome('flush', socket.flush());
  });

  conforms('an error in the callback of an error goes to the zone', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    final done = Completer<void>();
    runZonedGuarded(
      () => socket.listen(
        null,
        onError: (Object _) => throw StateError('in the callback'),
        onDone: done.complete,
      ),
      (error, _) => log('zone')(describe(error)),
    );
    await peer.reset();
    await done.future;
  });

  conforms('a connect that fails and that nobody waits for goes to the zone', (log) async {
    final failed = Completer<void>();
    runZonedGuarded(() => Socket.connect('255.255.255.255', 80), (error, _) {
      log('zone')(describe(error));
      failed.complete();
    });
    await failed.future;
  });

  conforms('a bind that fails and that nobody waits for goes to the zone', (log) async {
    final failed = Completer<void>();
    runZonedGuarded(() => ServerSocket.bind('192.0.2.211', 0), (error, _) {
      log('zone')(describe(error));
      failed.complete();
    });
    await failed.future;
  });

  conforms(
    'a reset that onError hears troubles nobody else',
    (log) async {
      final (socket, peer) = await RawPeer.of(log);
      final stream = log('in').watch(socket);
      socket.write('something');
      await peer.received(9);
      await peer.reset();
      await stream.done;
      await turns(10);
    },
    expected: [
      'in: error SocketException(errno 104)',
      'in: done',
      'peer: data "something"',
      'uncaught: SocketException(errno 104)',
    ],
    differs: 'what a peer does must not end the isolate, even if nobody asks for done',
    oche: [
      'in: error SocketException(errno 104)',
      'in: done',
      'peer: data "something"',
    ],
  );

  conforms('a reset with nothing written and nobody listening troubles nobody', (log) async {
    for (final accepted in [false, true]) {
      final (_, peer) = await RawPeer.of(log, accepted: accepted);
      await peer.reset();
    }
    await turns(20);
    log('end')('quiet');
  }, expected: ['end: quiet']);

  conforms('a peer that goes while much is written: who asks for done is told', (log) async {
    final (socket, peer) = await RawPeer.of(log);
    socket.listen(null, onError: (Object _) {});
    socket.add(pattern(16 << 20));
    final done = socket.done.then(
      (_) => log('out')('completes'),
      onError: (Object error) => log('out')('fails: ${error is SocketException}'),
    );
    await peer.arrived(1);
    await peer.close();
    await done;
  });

  conforms('code that runs outside of the zone uses the sockets of the system', (log) async {
    final server = await log.bind();
    final accepted = server.first;
    final socket = await Zone.root.run(() => Socket.connect(server.address, server.port));
    log('client')('of dart:io: ${'${socket.runtimeType}' == '_Socket'}');
    socket.write('hello');
    unawaited(socket.close());
    await log('server').watch(log.own(await accepted)).done;
    socket.destroy();
  });
}
